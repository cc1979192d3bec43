"""What the distribution says about itself: packages, public names, version and pins."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import stretto.host

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROOMS = ("api", "host", "plugins", "trt_cache")


def test_packages_are_the_folders() -> None:
    folders = {
        "stretto." + path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for room in ROOMS
        for path in (ROOT / room).rglob("__init__.py")
    }
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert listed == sorted(listed)
    assert set(listed) == folders


def test_each_top_level_folder_ships_its_types() -> None:
    assert [room for room in ROOMS if not (ROOT / room / "py.typed").exists()] == []


def test_public_names_are_sorted_and_complete() -> None:
    public = stretto.host.__all__
    assert public == sorted(public, key=lambda name: (not name.isupper(), name[0].islower(), name))
    imported = {
        name
        for name, value in vars(stretto.host).items()
        if not name.startswith("_")
        and name != "annotations"
        and not (type(value).__name__ == "module" and value.__name__.startswith("stretto.host."))
    }
    assert set(public) == imported


def test_a_plugin_author_finds_every_offer_in_the_public_names() -> None:
    for module in ("specs", "events", "protocols"):
        values = importlib.import_module(f"stretto.host.contracts.{module}")
        assert set(values.__all__) <= set(stretto.host.__all__), module


def test_version_is_the_changelogs_newest() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == PROJECT["project"]["version"]


def test_every_dependency_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", pin)] == []
    pinned = {_plain(pin.split("==")[0]) for pin in pins}
    project = PROJECT["project"]
    asked = project["dependencies"] + project["optional-dependencies"]["dev"]
    assert {_plain(re.split(r"[<>=\[ ]", line)[0]) for line in asked} <= pinned


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
