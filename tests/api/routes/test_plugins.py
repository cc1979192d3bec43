"""Plugins over HTTP: shown, and switched on a server that runs."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..client import Signed, Still

MINE = """
from dataclasses import dataclass
from typing import Annotated, Literal
from annotated_types import Ge
from stretto.host import UpscalerSpec, hookimpl
REQUIRES_STRETTO_API = ">=1.0,<2"
__version__ = "2.5"
@dataclass(frozen=True)
class Net:
    depth: Annotated[int, Ge(1)] = 2
    names: tuple[str, ...] = ()
@dataclass(frozen=True)
class Settings:
    net: Net = Net()
    nets: tuple[Net, ...] = ()
    tile: Annotated[int, Ge(16)] = 64
    mode: Literal["soft", "hard"] = "soft"
    secret: str = ""
@dataclass(frozen=True)
class Parameters:
    amount: float = 0.5
@hookimpl
def register_upscalers(host):
    tile = host.plugin_settings("mine", Settings).tile
    return [UpscalerSpec(name=f"mine-{tile}", build=lambda device: None)]
@hookimpl
def observe(event):
    pass
"""
OTHER = """
from stretto.host import UpscalerSpec, hookimpl
@hookimpl
def register_upscalers(host):
    return [UpscalerSpec(name="mine-64", build=lambda device: None)]
"""
FILE = """# plugins of these tests
[host]
autoload = false  # no packages
paths = ["mine.py", "other.py", "bad.py"]
disable = ["other"]
require = ["starter"]

[plugins.mine]
secret = "hush"  # not for users
"""


@pytest.fixture
def plugins_file(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "other.py").write_text(OTHER)
    (tmp_path / "bad.py").write_text("1 / 0\n")
    file = tmp_path / "plugins.toml"
    file.write_text(FILE)
    yield file
    for name in ("mine", "other"):
        sys.modules.pop(f"stretto_plugin_{name}", None)


NET = {"depth": 2, "names": []}
CLASH = (
    "the plugins 'mine' (file {folder}/mine.py) and 'other' (file {folder}/other.py) both offer the upscaler "
    "'mine-64'; disable the one that you do not want first (nothing was changed)"
)


def row(still: Still, name: str) -> dict[str, Any]:
    return next(one for one in still.client.get("/api/plugins").data if one["name"] == name)


def change(still: Still, name: str, body: object) -> Any:
    return still.client.call("PATCH", f"/api/plugins/{name}", body)


def test_rows_have_schemas_and_one_plugin_is_shown_whole(still: Still) -> None:
    rows = still.client.get("/api/plugins").data
    assert {"schedulers", "vaes", "resamplers"} <= {one["name"] for one in rows}
    keys = ["name", "version", "origin", "offers", "status", "reason", "settings", "parameters", "hooks"]
    assert {tuple(one) for one in rows} == {tuple(keys)}
    assert len(row(still, "schedulers")["offers"]["schedulers"]) == 14
    mine = row(still, "mine")
    assert (mine["status"], mine["version"], mine["offers"]) == ("on", "2.5", {"upscalers": ["mine-64"]})
    assert mine["settings"]["properties"]["tile"] == {
        "default": 64,
        "minimum": 16,
        "title": "Tile",
        "type": "integer",
    }
    assert mine["parameters"]["properties"]["amount"]["default"] == 0.5
    assert row(still, "vaes")["settings"] is None
    whole = still.client.get("/api/plugins/mine").data
    assert {key: whole[key] for key in mine} == mine
    assert whole["values"] == {"net": NET, "nets": [], "tile": 64, "mode": "soft", "secret": "hush"}
    assert (whole["hooks"], whole["requires_api"]) == (["register_upscalers", "observe"], ">=1.0,<2")
    assert whole["place"].endswith("/mine.py")
    assert still.client.get("/api/plugins/bad").data["reason"] == "ZeroDivisionError: division by zero"
    missing = still.client.get("/api/plugins/mien")
    assert (missing.status, missing.details) == (404, ["there is no plugin 'mien'; did you mean 'mine'?"])


def test_users_see_no_values_and_change_nothing(signed: Signed, plugins_file: Path) -> None:
    seen = signed.ann.get("/api/plugins/mine").data
    assert (seen["values"], seen["place"], seen["settings"]) == (None, None, None)
    assert seen["parameters"]["properties"]["amount"]["default"] == 0.5  # which is what users give
    assert (
        next(one for one in signed.ann.get("/api/plugins").data if one["name"] == "mine")["settings"] is None
    )
    assert "hush" not in json.dumps(seen)
    refused = signed.ann.call("PATCH", "/api/plugins/mine", {"enabled": False})
    assert refused.status == 403
    assert plugins_file.read_text() == FILE
    shown = signed.admin.get("/api/plugins/mine").data
    assert (shown["values"]["secret"], "tile" in shown["settings"]["properties"]) == ("hush", True)
    assert signed.admin.call("PATCH", "/api/plugins/mine", {"enabled": False}).data["status"] == "off"


def test_users_see_no_paths_reasons_or_raised_words(
    signed: Signed, plugins_file: Path, tmp_path: Path
) -> None:
    raised = f"OSError: no room in {tmp_path}/weights"
    spent = {"calls": 2, "seconds": 0.5, "failures": 1, "overruns": 0, "last": raised}
    root = signed.still.host.folders.root
    (root / "plugins-costs.json").write_text(json.dumps({"mine": {"observe": spent}}))
    names = [one["name"] for one in signed.admin.get("/api/plugins").data]
    paths = ["/api/plugins", *(f"/api/plugins/{name}" for name in names)]
    shown = {
        who: json.dumps([client.get(path).data for path in paths])
        for who, client in (("user", signed.ann), ("admin", signed.admin))
    }
    hidden = [str(tmp_path), "ZeroDivisionError", "no room"]
    assert [words for words in hidden if words in shown["user"]] == []
    assert [words for words in hidden if words not in shown["admin"]] == []
    rows = {one["name"]: one for one in signed.ann.get("/api/plugins").data}
    assert {
        name: (rows[name]["origin"], rows[name]["reason"]) for name in ("mine", "other", "bad", "vaes")
    } == {
        "mine": ("file", None),
        "other": ("file", "off; an administrator sees why"),
        "bad": ("file", "broken; an administrator sees why"),
        "vaes": ("built-in", None),
    }
    assert signed.ann.get("/api/plugins/mine").data["costs"] == [{"hook": "observe", **spent, "last": ""}]
    assert signed.admin.get("/api/plugins/mine").data["costs"] == [{"hook": "observe", **spent}]
    assert signed.admin.get("/api/plugins/mine").data["origin"] == f"file {tmp_path}/mine.py"


def test_a_plugin_is_switched_set_and_ordered_at_once(still: Still, plugins_file: Path) -> None:
    changed = change(still, "mine", {"settings": {"tile": 128, "secret": None}, "order": 0}).data
    assert (changed["offers"], changed["order"]) == ({"upscalers": ["mine-128"]}, 0)
    assert changed["values"] == {"net": NET, "nets": [], "tile": 128, "mode": "soft", "secret": ""}
    assert "mine-128" in still.host.offers("upscalers")
    assert tomllib.loads(plugins_file.read_text())["plugins"] == {"mine": {"tile": 128}}
    assert change(still, "vaes", {"order": 5}).data["order"] == 1
    off = change(still, "mine", {"enabled": False, "order": None}).data
    assert (off["status"], off["offers"], off["order"], off["hooks"]) == ("off", {}, None, [])
    assert off["reason"] == f"disabled by [host] disable in {plugins_file}"
    on = change(still, "other", {"enabled": True}).data
    assert on["offers"] == {"upscalers": ["mine-64"]}
    text = plugins_file.read_text()
    assert text.startswith("# plugins of these tests\n[host]\nautoload = false  # no packages\n")
    assert tomllib.loads(text)["host"]["disable"] == ["mine"]
    assert tomllib.loads(text)["host"]["order"] == ["vaes"]


@pytest.mark.parametrize(
    ("name", "body", "status", "detail"),
    [
        ("mien", {"enabled": True}, 404, "there is no plugin 'mien'; did you mean 'mine'?"),
        ("mine", {"enabld": True}, 400, "enabld: is not known; did you mean 'enabled'?"),
        ("mine", {"enabled": "yes"}, 400, "enabled: must be true or false, not 'yes'"),
        ("mine", {"order": -1}, 400, "order: must be a whole number from 0, or null, not -1"),
        ("mine", {"order": True}, 400, "order: must be a whole number from 0, or null, not True"),
        ("mine", {"settings": []}, 400, "settings: must be an object, not []"),
        (
            "mine",
            {"settings": {"net": {"names": ["a", None]}}},
            400,
            "settings.net.names[1]: must not be null within a list",
        ),
        (
            "mine",
            {"settings": {"tile": {"px": 3}}},
            400,
            "settings: {file}: [plugins.mine] tile must be a whole number, not {'px': 3}",
        ),
        (
            "mine",
            {"settings": {"net": {"depth": 0}}},
            400,
            "settings: {file}: [plugins.mine] net depth must be at least 1, not 0",
        ),
        (
            "mine",
            {"settings": {"net": {"dept": 1}}},
            400,
            "settings: {file}: [plugins.mine] net has no key 'dept'; did you mean 'depth'?",
        ),
        (
            "mine",
            {"settings": {"tyle": 3}},
            400,
            "settings: {file}: [plugins.mine] has no key 'tyle'; did you mean 'tile'?",
        ),
        (
            "mine",
            {"settings": {"tile": 3}},
            400,
            "settings: {file}: [plugins.mine] tile must be at least 16, not 3",
        ),
        (
            "vaes",
            {"settings": {"tile": 3}},
            400,
            "settings: {file}: [plugins.vaes] is set, and the plugin 'vaes' takes no settings",
        ),
        (
            "starter",
            {"enabled": False},
            409,
            "{file} requires the plugin 'starter'; take it out of `require` there, and then disable it",
        ),
        (
            "other",
            {"enabled": True},
            409,
            CLASH,
        ),
        (
            "bad",
            {"enabled": True},
            409,
            "the plugin 'bad' cannot be on: it is broken, ZeroDivisionError: division by zero",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_all_is_as_before(
    still: Still, plugins_file: Path, name: str, body: object, status: int, detail: str
) -> None:
    board = still.host.board
    answer = change(still, name, body)
    assert answer.status == status
    folder = str(plugins_file.parent)
    assert answer.details == [detail.replace("{file}", str(plugins_file)).replace("{folder}", folder)]
    assert plugins_file.read_text() == FILE
    assert still.host.board is board


def test_settings_within_settings_are_merged_and_stand_as_tables(still: Still, plugins_file: Path) -> None:
    asked = {"net": {"depth": 3, "names": ["a"]}, "nets": [{"depth": 1}, {}]}
    values = change(still, "mine", {"settings": asked}).data["values"]
    assert (values["net"], values["nets"]) == (asked["net"], [{"depth": 1, "names": []}, NET])
    text = plugins_file.read_text()
    assert text.startswith(FILE)
    assert '\n[plugins.mine.net]\ndepth = 3\nnames = ["a"]\n\n[[plugins.mine.nets]]\n' in text
    plugins_file.write_text(text.replace("depth = 3", "depth = 3  # deep"))
    values = change(still, "mine", {"settings": {"net": {"depth": 4, "names": None}, "nets": None}}).data[
        "values"
    ]
    assert (values["net"], values["nets"]) == ({"depth": 4, "names": []}, [])
    assert plugins_file.read_text() == f"{FILE}\n[plugins.mine.net]\ndepth = 4  # deep\n\n"
    assert change(still, "mine", {"settings": {"net": None}}).data["values"]["net"] == NET


def test_what_is_wrong_is_told_all_at_once(still: Still) -> None:
    answer = change(still, "mine", {"enabled": 1, "order": "first", "x": 0})
    assert len(answer.details) == 3


# a server of its own, with jobs in its queue
