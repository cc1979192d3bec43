"""What a plugin may import: breaches are found where they stand, with the public name that would do."""

from __future__ import annotations

from pathlib import Path

import pytest
from stretto.host.errors import ConfigurationError
from stretto.host.testing.borders import private_imports

ROOT = Path(__file__).parents[3]


def _found(tmp_path: Path, *lines: str) -> list[tuple[int, str, str | None]]:
    (tmp_path / "mine.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [(one.line, one.name, one.public) for one in private_imports(tmp_path / "mine.py")]


@pytest.mark.parametrize(
    "line",
    [
        "from stretto.host import UpscalerSpec, hookimpl",
        "from stretto.host import *",
        "import stretto.host",
        "import stretto.host as host; host.hookimpl; host.Role.BASE.value",
        "import stretto.host; stretto.host.StrettoError('no')",
        "from stretto import host; host.Family.SD1",
        "from stretto.host.testing import assert_conforms",
        "import stretto_else.host.errors",
        "from . import stretto",
        "from .stretto import host",
        "import importlib; importlib.import_module('PIL.Image')",
        "host = object(); host.errors",
    ],
)
def test_what_is_public_is_no_breach(tmp_path: Path, line: str) -> None:
    assert _found(tmp_path, line) == []


@pytest.mark.parametrize(
    ("lines", "breach"),
    [
        (
            ["from stretto.host.contracts.specs import UpscalerSpec"],
            (1, "stretto.host.contracts.specs.UpscalerSpec", "UpscalerSpec"),
        ),
        (
            ["import os", "from stretto.host.errors import WeightsError as W"],
            (2, "stretto.host.errors.WeightsError", "WeightsError"),
        ),
        (["from stretto.host import errors"], (1, "stretto.host.errors", None)),
        (["import stretto.host.runtime.host"], (1, "stretto.host.runtime.host", None)),
        (["import stretto.api.cli.main as cli"], (1, "stretto.api.cli.main", None)),
        (["from stretto.plugins import starter"], (1, "stretto.plugins.starter", None)),
        (
            ["import stretto.host", "stretto.host.errors.WeightsError"],
            (2, "stretto.host.errors.WeightsError", "WeightsError"),
        ),
        (["import stretto.host as h", "h.geometry.cut"], (2, "stretto.host.geometry.cut", None)),
        (["from stretto import host as h", "h.engine"], (2, "stretto.host.engine", None)),
        (
            [
                "from typing import TYPE_CHECKING",
                "if TYPE_CHECKING:",
                "    from stretto.host.settings import Settings",
            ],
            (3, "stretto.host.settings.Settings", None),
        ),
        (
            ["def late():", "    from stretto.host.engine.device import pick"],
            (2, "stretto.host.engine.device.pick", None),
        ),
        (
            ["import importlib", "importlib.import_module('stretto.host.planning')"],
            (2, "stretto.host.planning", None),
        ),
        (["__import__('stretto.trt_cache')"], (1, "stretto.trt_cache", None)),
    ],
)
def test_all_else_is_a_breach_with_its_line(
    tmp_path: Path, lines: list[str], breach: tuple[int, str, str | None]
) -> None:
    assert _found(tmp_path, *lines) == [breach]


def test_a_breach_says_where_it_is_and_what_would_do(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from stretto.host.errors import WeightsError, meant\n", encoding="utf-8")
    assert [str(one) for one in private_imports(file)] == [
        f"{file}:1: stretto.host.errors.WeightsError is not public; from stretto.host import WeightsError",
        f"{file}:1: stretto.host.errors.meant is not public; public is what stretto.host.__all__ names",
    ]


def test_a_folder_is_read_without_environments_and_what_was_built(tmp_path: Path) -> None:
    breach = "import stretto.host.engine\n"
    for name in (
        "src/mine/__init__.py",
        "tests/test_mine.py",
        ".venv/a.py",
        "build/lib/a.py",
        "mine.egg-info/a.py",
        "env/a.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(breach, encoding="utf-8")
    (tmp_path / "env" / "pyvenv.cfg").touch()
    found = [one.path.relative_to(tmp_path).as_posix() for one in private_imports(tmp_path)]
    assert found == ["src/mine/__init__.py", "tests/test_mine.py"]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no file or folder"):
        private_imports(tmp_path / "none.py")
    (tmp_path / "bad.py").write_text("def (", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"bad\.py is not Python that can be read"):
        private_imports(tmp_path)


def test_the_built_in_plugins_take_only_what_is_public() -> None:
    assert [str(one) for one in private_imports(ROOT / "plugins")] == []
