"""Plugin packages as wheels that are written here, and environments that are made of them without an index."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stretto.host.isolation.isolation import Isolation
from stretto.host.isolation.proxies import IsolatedPlugin
from stretto.host.plugboard.switches import Switches
from stretto.host.settings import Folders, Settings

from .rough import ROUGH

Wheel = Callable[..., Path]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """Write a wheel with one module, which is a plugin of its own name unless `entry` says otherwise."""

    def written(name: str, code: str, *, requires: tuple[str, ...] = (), entry: str | None = None) -> Path:
        info = f"stretto_{name}-1.2.dist-info"
        path = tmp_path_factory.mktemp("wheels") / f"stretto_{name}-1.2-py3-none-any.whl"
        needs = "".join(f"Requires-Dist: {one}\n" for one in ("stretto", *requires))
        files = {
            f"{name}.py": code,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: stretto-{name}\nVersion: 1.2\n{needs}",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/entry_points.txt": f"[stretto]\n{name} = {name}\n" if entry is None else entry,
        }
        with zipfile.ZipFile(path, "w") as archive:
            for file, text in files.items():
                archive.writestr(file, text)
            archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD")))
        return path

    return written


def isolation(
    root: Path, tables: dict[str, dict[str, Any]] | None = None, settings: Callable[[], Settings] = Settings
) -> Isolation:
    """Give the isolated plugins of a data directory."""
    switches = Switches(tables={name: {"isolated": True, **table} for name, table in (tables or {}).items()})
    return Isolation(Folders(root), settings, switches, version="0.1.0", usable_bytes=lambda: 2**31)


@pytest.fixture(scope="session")
def rough_root(tmp_path_factory: pytest.TempPathFactory, wheel: Wheel) -> Path:
    """Give a data directory with the plugin `rough` in an environment of its own."""
    root = tmp_path_factory.mktemp("data")
    isolation(root).install(str(wheel("rough", ROUGH)), ["--no-index"])
    return root


Rough = Callable[..., IsolatedPlugin]


@pytest.fixture
def rough(rough_root: Path, tmp_path: Path) -> Iterator[Rough]:
    """Load the plugin `rough` with a table of its own."""
    opened = []

    def loaded(settings: Callable[[], Settings] = Settings, **table: Any) -> IsolatedPlugin:
        one = isolation(rough_root, {"rough": {"diary": str(tmp_path / "diary.txt"), **table}}, settings)
        opened.append(one)
        (environment,) = one.environments()
        return one.load(environment, "rough")

    yield loaded
    for one in opened:
        one.close()
