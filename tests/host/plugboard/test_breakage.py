"""Plugins of real packages that are broken in every way there is: the host starts, and each is a row that says why."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stretto.host.plugboard.breakage import api_fault, import_fault
from stretto.host.promise import STRETTO_API

HEAD = "from stretto.host import VaeSpec, hookimpl\n"
OFFER = HEAD + "@hookimpl\ndef register_vaes(host):\n    return []\n"
MODULES = {
    "good": OFFER + 'REQUIRES_STRETTO_API = ">=1.0,<2"\n',
    "future": OFFER + 'REQUIRES_STRETTO_API = ">=7,<8"\n',
    "newer": 'from stretto.host import Hologram\nREQUIRES_STRETTO_API = ">=7,<8"\n',
    "renamed": "from stretto.host import Hologram\n",
    "ranged": OFFER + 'REQUIRES_STRETTO_API = "at least one"\n',
    "numbered": OFFER + "REQUIRES_STRETTO_API = 1.0\n",
    "needy": "import no_such_library_here\n",
    "lone": "import no_such_library_either\n",
    "raising": "1 / 0\n",
    "leaving": "raise SystemExit(3)\n",
    "argued": HEAD + "@hookimpl\ndef register_vaes(hosts, folder=None):\n    return []\n",
    "slow": "import time\ntime.sleep(1.6)\n" + OFFER,
    "heavy": "import torch\n" + OFFER,
    "vaes": OFFER,
}
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "0.3"
dependencies = {requires}
[project.entry-points.stretto]
{entries}
[tool.setuptools]
py-modules = {modules}
"""


def install(folder: Path, target: Path, name: str, modules: list[str], requires: list[str]) -> None:
    """Have pip build and install a package of plugins, apart from the environment of the tests."""
    folder.mkdir()
    for module in modules:
        (folder / f"broken_{module}.py").write_text(MODULES[module])
    text = PROJECT.format(
        name=name,
        requires=json.dumps(requires),
        entries="\n".join(f"{module} = 'broken_{module}'" for module in modules),
        modules=json.dumps([f"broken_{module}" for module in modules]),
    )
    (folder / "pyproject.toml").write_text(text)
    quiet = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    run = subprocess.run(
        [sys.executable, "-m", "pip", "install", *quiet, "--target", target, folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Give the rows of a host with all of them, by plugin; a built-in one's name taken is `vaes, again`."""
    root = tmp_path_factory.mktemp("broken")
    target = root / "installed"
    install(root / "one", target, "stretto-broken", [name for name in MODULES if name != "needy"], [])
    install(root / "two", target, "stretto-needy", ["needy"], ["no-such-library-here>=2", "pluggy>=1"])
    (root / "plugins.toml").write_text("[host]\nslow_import_s = 1.5\n")
    listed = subprocess.run(
        [Path(sys.executable).with_name("stretto"), "plugins", "list", "--json", "--data-dir", root / "data"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.returncode == 0, listed.stderr
    found: dict[str, dict[str, Any]] = {}
    for row in json.loads(listed.stdout):
        found[row["name"] if row["name"] not in found else f"{row['name']}, again"] = row
    return found


PIP = f"{Path(sys.executable).with_name('python')} -m pip install"
FOR_SEVEN = (
    f"it is for the plugin API >=7,<8, and this host's is {STRETTO_API}; install a release of it that is for "
    f"{STRETTO_API}, or another Stretto"
)
WHY = {
    "future": FOR_SEVEN,
    "newer": f"{FOR_SEVEN} (ImportError: cannot import name 'Hologram' from 'stretto.host' ",
    "renamed": "ImportError: cannot import name 'Hologram' from 'stretto.host' ",
    "ranged": "REQUIRES_STRETTO_API is 'at least one', which is no version specifier; write one such as \">=1.0,<2\"",
    "numbered": 'REQUIRES_STRETTO_API is 1.0, which is no version specifier; write one such as ">=1.0,<2"',
    "needy": (
        "ModuleNotFoundError: No module named 'no_such_library_here'; its package asks for no-such-library-here>=2, "
        f"which is not here: {PIP} 'no-such-library-here>=2'"
    ),
    "lone": (
        "ModuleNotFoundError: No module named 'no_such_library_either'; install what has it, such as: "
        f"{PIP} no_such_library_either"
    ),
    "raising": "ZeroDivisionError: division by zero",
    "leaving": "SystemExit: 3",
    "argued": (
        "its hook register_vaes(hosts) asks for 'hosts', and the host gives (host); take some of these, by these names"
    ),
    "vaes, again": (
        "the name 'vaes' is taken (built-in has it, and package stretto-broken); uninstall one of the two, or have its "
        "author rename the entry point"
    ),
}


@pytest.mark.parametrize("name", WHY)
def test_what_is_broken_is_a_row_with_what_would_do(rows: dict[str, dict[str, Any]], name: str) -> None:
    assert rows[name]["status"] == "broken"
    assert re.sub(r"/python[\d.]+ ", "/python ", rows[name]["reason"]).startswith(WHY[name])
    assert rows[name]["offers"] == {}


def test_names_that_the_host_has_not_are_told_with_its_api(rows: dict[str, dict[str, Any]]) -> None:
    end = f"; this host's plugin API is {STRETTO_API}, install a release of the plugin that is for it"
    assert rows["renamed"]["reason"].endswith(end)


def test_what_is_slow_or_heavy_is_on_and_told(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["slow"]["status"] == rows["heavy"]["status"] == "on"
    assert rows["slow"]["reason"].startswith("its import took ")
    assert "([host] slow_import_s is 1.5)" in rows["slow"]["reason"]
    assert "its import pulled in " in rows["heavy"]["reason"]
    assert "torch" in rows["heavy"]["reason"]
    assert rows["heavy"]["reason"].endswith("; have its author import inside functions")


def test_all_others_are_on_without_a_word(rows: dict[str, dict[str, Any]]) -> None:
    others = {name: row for name, row in rows.items() if name not in (*WHY, "slow", "heavy")}
    assert {name for name, row in others.items() if (row["status"], row["reason"]) != ("on", None)} == set()
    assert {"good", "schedulers", "vaes", "starter"} <= set(others)


class Declaring:
    """A plugin that is an object; its module declares for it."""


@pytest.mark.parametrize("declared", [">=1.0,<2", "~=1.0", "==1.*", ">=1.0"])
def test_a_range_with_this_api_in_it_is_no_fault(declared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "REQUIRES_STRETTO_API", declared, raising=False)
    assert api_fault(Declaring()) is None
    monkeypatch.setattr(sys.modules[__name__], "REQUIRES_STRETTO_API", "<1.0")
    assert str(api_fault(Declaring())).startswith("it is for the plugin API <1.0, and ")


def test_a_file_that_is_no_python_is_told_as_its_import_told_it(tmp_path: Path) -> None:
    source = tmp_path / "bad.py"
    source.write_text("def f(:")
    assert import_fault(ImportError("no luck"), source=source) == "ImportError: no luck"
    assert import_fault(ImportError("no luck"), source=tmp_path / "gone.py") == "ImportError: no luck"
