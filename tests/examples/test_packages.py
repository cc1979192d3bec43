"""The packages under `examples`: installed into a folder that child processes alone look into, tested, drawn with."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PACKAGES = sorted(folder.parent for folder in EXAMPLES.glob("*/pyproject.toml"))
NAMES = [folder.name for folder in PACKAGES]
MAX_LINES = 150
LIMIT_S = 300


def _python(site: Path, *words: str | Path, cwd: Path) -> str:
    paths = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder into which all of them are installed."""
    root = tmp_path_factory.mktemp("examples")
    copies = [shutil.copytree(folder, root / "built" / folder.name) for folder in PACKAGES]
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", root / "site")
    _python(root, *pip, "--no-index", "--no-deps", "--no-build-isolation", *copies, cwd=root)
    return root / "site"


@pytest.mark.parametrize("folder", PACKAGES, ids=NAMES)
def test_each_is_small_and_says_which_host_it_is_for(folder: Path) -> None:
    sources = sorted((folder / "src").rglob("*.py"))
    assert 0 < sum(len(source.read_text("utf-8").splitlines()) for source in sources) < MAX_LINES
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    assert list(project["entry-points"]["stretto"]) == [folder.name]
    assert project["version"] in "".join(source.read_text("utf-8") for source in sources)
    assert (folder / "README.md").is_file()
    assert list((folder / "src").glob("*/py.typed"))


def test_they_show_every_hook_that_is_not_an_offer_of_weights_or_pictures() -> None:
    names = {
        node.name
        for folder in PACKAGES
        for source in (folder / "src").rglob("*.py")
        for node in ast.walk(ast.parse(source.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    shown = {
        "build_plan", "run_step", "observe", "host_started", "host_stopping",
        "register_schedulers", "register_routes", "register_commands",
    }  # fmt: skip
    assert shown <= names


def test_they_take_public_names_alone() -> None:
    from stretto.host.testing.borders import private_imports

    assert [str(found) for folder in PACKAGES for found in private_imports(folder)] == []


def test_all_are_on_together_and_take_what_their_pages_say(site: Path, tmp_path: Path) -> None:
    pages = [(folder / "README.md").read_text("utf-8") for folder in PACKAGES]
    tables = [
        table
        for page in pages
        for table in re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ]
    assert len(tables) == len(PACKAGES)
    (tmp_path / "plugins.toml").write_text("\n".join(tables))
    said = _python(
        site, "-m", "stretto.api.cli.main", "plugins", "list", "--json", "--data-dir", "data", cwd=tmp_path
    )
    rows = {row["name"]: row for row in json.loads(said)}
    assert {name: rows[name]["status"] for name in NAMES} == dict.fromkeys(NAMES, "on")
    assert {rows[name]["version"] for name in NAMES} == {"1.0.0"}


@pytest.mark.timeout(LIMIT_S + 20)
def test_their_own_tests_pass(site: Path, tmp_path: Path) -> None:
    plugins = ("randomly", "schemathesis", "hypothesispytest", "xdist", "cacheprovider")
    off = [word for name in plugins for word in ("-p", f"no:{name}")]
    options = ("-q", "--strict-markers", "--import-mode=importlib", *off)
    said = _python(site, "-m", "pytest", *options, *(folder / "tests" for folder in PACKAGES), cwd=tmp_path)
    assert "passed" in said.splitlines()[-1]
    assert "skipped" not in said.splitlines()[-1]


def test_one_invocation_uses_them_all(site: Path, tmp_path: Path) -> None:
    (tmp_path / "plugins.toml").write_text("[plugins.watermark]\nheight = 0.5\n")
    small = ("width=64", "height=64", "num_inference_steps=2", "seed=1", "scheduler=aligned")
    parameters = ("expander.style=sketch", "watermark.text=all", "watermark.opacity=1.0")
    asked = (*small, *(f"plugins.{parameter}" for parameter in parameters))
    sets = [word for value in asked for word in ("--set", value)]
    stretto = ("-m", "stretto.api.cli.main")
    place = ("--data-dir", "data")
    said = _python(
        site, *stretto, "invoke", "a red circle", *sets, "--json", "--out", ".", *place, cwd=tmp_path
    )
    done = json.loads(said)
    assert done["plan"]["scheduler"] == "aligned"
    assert "a pencil sketch" in done["plan"]["nodes"][0]["prompt"]
    log = (tmp_path / "data" / "events.jsonl").read_text("utf-8").splitlines()
    told = [line["event"] for line in map(json.loads, log) if line.get("job") == done["uuid"]]
    assert (told[0], told[-1]) == ("Started", "Finished")
    assert done["plan"]["resolved"]["plugins"]["watermark"]["text"] == "all"
    (picture,) = done["images"]
    shown = _python(site, *stretto, "palette", picture, "--colours", "64", *place, cwd=tmp_path)
    assert "#ffffff" in shown  # the letters
