"""The examples on the hooks' pages: each implements its hook, works, and has a shipped plugin beside it."""

from __future__ import annotations

import importlib
import shlex
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from stretto.api.cli.main import run
from stretto.host.hookspecs import HostSpecs
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing import Supplies, assert_conforms
from stretto.host.testing.borders import private_imports

DOCS = Path(__file__).parents[2] / "docs"
HOOKS = [name for name in vars(HostSpecs) if not name.startswith("_")]
DRAWN = (
    "register_schedulers", "register_upscalers", "register_background_removers", "run_step", "observe", "host_stopping",
)  # fmt: skip


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("hook_pages")


def test_every_hook_has_an_example_that_implements_it(examples: ModuleType) -> None:
    assert list(examples.EXAMPLES) == HOOKS
    for hook, (name, _) in examples.EXAMPLES.items():
        assert f"def {hook}(" in (examples.SOURCES / f"{name}.py").read_text(encoding="utf-8"), name
    assert {f"{name}.py" for name, _ in examples.EXAMPLES.values()} == {
        path.name for path in examples.SOURCES.glob("*.py")
    }


def test_examples_take_only_what_is_public(examples: ModuleType) -> None:
    assert [str(one) for one in private_imports(examples.SOURCES)] == []


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_shipped_user(examples: ModuleType, hook: str) -> None:
    assert examples.shipped(hook) != [], f"no plugin in plugins/ or examples/ implements {hook}"


def test_all_examples_are_on_together_and_keep_what_their_kinds_promise(
    examples: ModuleType, tmp_path: Path
) -> None:
    names = [name for name, _ in examples.EXAMPLES.values()]
    file = tmp_path / "plugins.toml"
    paths = [str(examples.SOURCES / f"{name}.py") for name in names]
    file.write_text(f"[host]\nautoload = false\npaths = {paths}\n", encoding="utf-8")
    with Host.open(Folders(tmp_path / "data"), Settings(), plugins_file=file) as host:
        rows = {row.name: (row.status, row.reason) for row in host.plugins()}
        with Supplies() as supplies:
            for kind in ("loaders", "patchers", "preprocessors", "compilers"):
                own = [
                    spec
                    for name, spec in host.offers(kind).items()
                    if host.board.registry(kind).owner(name) in names
                ]
                assert len(own) == 1, kind
                assert_conforms(own[0], supplies=supplies)
    assert {name: rows[name] for name in names} == dict.fromkeys(names, ("on", None))


@pytest.mark.parametrize("hook", DRAWN)
def test_examples_draw(
    examples: ModuleType,
    hook: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert DRAWN == examples.DRAWN
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    name, commands = examples.EXAMPLES[hook]
    (tmp_path / f"{name}.py").write_bytes((examples.SOURCES / f"{name}.py").read_bytes())
    (tmp_path / "plugins.toml").write_text(f'[host]\npaths = ["{name}.py"]\n', encoding="utf-8")
    draw, *others = commands.splitlines()
    assert run(shlex.split(draw)[1:]) == 0, capsys.readouterr().err
    assert len(list(tmp_path.glob("*.png"))) == 1
    for command in others:
        subprocess.run(["bash", "-euc", command], check=True, capture_output=True)
    if hook == "run_step":
        from PIL import Image

        with Image.open(next(tmp_path.glob("*.png"))) as picture:
            red, green, blue = picture.split()
            assert red.tobytes() == green.tobytes() == blue.tobytes()
    if hook == "register_background_removers":
        from PIL import Image

        with Image.open(next(tmp_path.glob("*.png"))) as picture:
            assert picture.mode == "RGBA"
            assert picture.getextrema()[3] == (0, 255)
