"""The pytest plugin for authors: tiny models, the starter, and hosts over a folder of a test's own.

It is there in every environment that has Stretto; `-p no:stretto.host.testing.fixtures` turns it off.
Loading it imports the values that plugins share and nothing heavier; fixtures import when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..contracts.ports import JobStore
    from ..runtime.host import Host
    from ..settings import Settings
    from .stores import JobMemory
    from .trial import Plugin

__all__ = [
    "host",
    "job_memory",
    "open_host",
    "pytest_addoption",
    "pytest_configure",
    "starter",
    "starter_path",
    "tiny_inpainter",
    "tiny_refiner",
    "tiny_sd1",
    "tiny_sd2",
    "tiny_sd15",
    "tiny_sdxl",
    "tiny_sdxl_inpainter",
]

MARK = "stretto"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the ini option that plugs in what is not installed."""
    parser.addini(
        "stretto_plugins",
        "plugins that the fixture `host` has on: files, projects' folders, modules",
        type="linelist",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(plugins=[...], settings={{...}}, tables={{...}}): what the fixture `host` is opened with",
    )


@pytest.fixture
def open_host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Give a function that opens a host over a folder of the test's own; all are closed at its end.

    It takes `plugins` (files, projects' folders, modules or their names, beside those of the ini option
    `stretto_plugins`), `settings`, `tables` (the plugins' own settings, by plugin), `models` (folders in
    diffusers' layout by the names that they get) and `store`: with one, such as the fixture `job_memory`,
    the host is started and runs what is submitted in its worker process.
    """
    from .hosts import opened_host

    stated = [_path(line, request.config.rootpath) for line in request.config.getini("stretto_plugins")]
    roots = (tmp_path / f"host-{number}" for number in count())
    with ExitStack() as opened:

        def open_(
            *,
            plugins: Sequence[Plugin] = (),
            settings: Settings | Mapping[str, Any] | None = None,
            tables: Mapping[str, Mapping[str, Any]] | None = None,
            models: Mapping[str, Path] | None = None,
            store: JobStore | None = None,
        ) -> Host:
            return opened.enter_context(
                opened_host(
                    next(roots),
                    plugins=[*stated, *plugins],
                    settings=settings,
                    tables=tables,
                    models=models,
                    store=store,
                )
            )

        yield open_


@pytest.fixture
def host(request: pytest.FixtureRequest, open_host: Callable[..., Host]) -> Host:
    """Give an open host with the starter model, which plans and draws in this process.

    `@pytest.mark.stretto(plugins=["mine.py"], settings={...}, tables={"mine": {...}})` says what it is opened with.
    """
    mark = request.node.get_closest_marker(MARK)
    return open_host(**(mark.kwargs if mark is not None else {}))


@pytest.fixture
def job_memory() -> JobMemory:
    """Give a store of jobs for `open_host(store=...)`, with `until_ended(uuid)` to wait for one."""
    from .stores import JobMemory

    return JobMemory()


@pytest.fixture(scope="session")
def tiny_sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a random SD 1.x model, 64 px."""
    from .tiny import make_tiny_sd1

    return make_tiny_sd1(tmp_path_factory.mktemp("tiny") / "sd1")


@pytest.fixture(scope="session")
def tiny_sd15(tiny_sd1: Path) -> Path:
    """Give the folder of a random SD 1.x model, 64 px."""
    return tiny_sd1


@pytest.fixture(scope="session")
def tiny_sd2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a random SD 2.x model with v-prediction, 64 px."""
    from .tiny import make_tiny_sd2

    return make_tiny_sd2(tmp_path_factory.mktemp("tiny") / "sd2")


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a random SDXL base model, 64 px."""
    from .tiny import make_tiny_sdxl

    return make_tiny_sdxl(tmp_path_factory.mktemp("tiny") / "sdxl")


@pytest.fixture(scope="session")
def tiny_refiner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a random SDXL refiner, 64 px."""
    from .tiny import make_tiny_refiner

    return make_tiny_refiner(tmp_path_factory.mktemp("tiny") / "refiner")


@pytest.fixture(scope="session")
def tiny_inpainter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a random SD 1.x inpainting model, 64 px."""
    from .tiny import make_tiny_inpainter

    return make_tiny_inpainter(tmp_path_factory.mktemp("tiny") / "inpainter")


@pytest.fixture(scope="session")
def tiny_sdxl_inpainter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a random SDXL inpainting model, 64 px."""
    from .tiny import make_tiny_sdxl_inpainter

    return make_tiny_sdxl_inpainter(tmp_path_factory.mktemp("tiny") / "sdxl-inpainter")


@pytest.fixture(scope="session")
def starter_path() -> Path:
    """Give the folder of the model that ships; skips where its weights are not there."""
    spec = find_spec("stretto.plugins.starter")
    assert spec is not None  # noqa: S101 - the built-in plugins are always importable
    assert spec.origin is not None  # noqa: S101 - and are packages
    folder = Path(spec.origin).parent / "model"
    if not (folder / "model_index.json").is_file():
        pytest.skip(f"no starter model in {folder}")
    return folder


@pytest.fixture(scope="session")
def starter(starter_path: Path) -> Path:
    """Give the folder of the model that ships, 128 px, which hosts know as `starter`."""
    return starter_path


def _path(line: str, root: Path) -> str:
    """Take what the ini file names as a path from where that file stands."""
    return str(root / line) if (root / line).exists() else line
