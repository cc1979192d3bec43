"""What plugins leave in `sys.modules`, and what is read of them."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from stretto.host.plugboard.discover import GROUP, Found, discover
from stretto.host.plugboard.imports import imported_file, or_as_before
from stretto.host.plugboard.switches import Switches

PLUGIN = """
from kitchen_shelf import spice
from kitchen import salt
REQUIRES_STRETTO_API = "{range}"
taste = salt + spice
"""


class Kitchen:
    """A distribution in a folder of its own: a package with a plugin, and a module beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, version: str, taste: str, api: str = ">=1.0,<2") -> None:
        files = {
            "kitchen/__init__.py": f"salt = 'salt {taste}'",
            "kitchen/plugin.py": PLUGIN.replace("{range}", api),
            "kitchen_shelf.py": f"spice = ', spice {taste}'",
        }
        for old in self.folder.glob("*.dist-info"):
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
        about = f"kitchen-{version}.dist-info"
        files[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: kitchen\nVersion: {version}\n"
        files[f"{about}/entry_points.txt"] = f"[{GROUP}]\nkitchen = kitchen.plugin\n"
        files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{about}/RECORD"))
        for name, text in files.items():
            file = self.folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        for stale in self.folder.rglob("*.pyc"):  # as installers do
            stale.unlink()
        importlib.invalidate_caches()

    def found(self) -> Found:
        return next(one for one in discover(Switches(), "1", ()) if one.name == "kitchen")


def cooked() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.startswith("kitchen")}


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kitchen]:
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Kitchen(tmp_path)
    made.install("1.0", "one")
    yield made
    for name in cooked():
        del sys.modules[name]


def test_a_package_that_is_refused_leaves_nothing_and_is_read_anew(kitchen: Kitchen) -> None:
    def refuse(found: Found) -> None:
        assert getattr(found.plugin, "taste", None) == "salt one, spice one"
        assert len(cooked()) == 3
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), or_as_before(GROUP):
        refuse(kitchen.found())
    assert cooked() == {}
    kitchen.install("1.0", "two")
    assert getattr(kitchen.found().plugin, "taste", None) == "salt two, spice two"


def test_a_package_that_was_there_before_stays(kitchen: Kitchen) -> None:
    kitchen.found()
    before = cooked()
    with pytest.raises(ZeroDivisionError), or_as_before(GROUP):
        raise ZeroDivisionError
    assert cooked() == before != {}


def test_a_package_for_another_api_leaves_nothing(kitchen: Kitchen) -> None:
    kitchen.install("1.0", "one", api=">=7")
    assert "API" in str(kitchen.found().error)
    assert cooked() == {}


def test_another_version_of_a_package_that_is_not_at_work_is_read_anew(kitchen: Kitchen) -> None:
    kitchen.found()
    kitchen.install("1.1", "two")
    found = kitchen.found()
    assert (found.version, getattr(found.plugin, "taste", None)) == ("1.1", "salt two, spice two")


def test_a_file_that_was_mended_within_a_second_at_the_same_size_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "mended.py"
    for said in "12":
        file.write_text(f"said = {said}")
        os.utime(file, (1_000_000, 1_000_000))
        assert getattr(imported_file(file), "said", None) == int(said)
    del sys.modules["stretto_plugin_mended"]
    assert not list(tmp_path.rglob("*.pyc"))
