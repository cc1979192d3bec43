"""Reference pages say what the code says, links lead somewhere, and named paths exist."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from stretto.api.routes import ROUTES
from stretto.host import errors
from stretto.host.hookspecs import HostSpecs
from stretto.host.plugboard.discover import BUILT_INS
from stretto.host.plugboard.switches import HOST_KEYS, HostTable
from stretto.host.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.syspath_prepend(DOCS)
    pages: dict[str, str] = importlib.import_module("generate").pages()
    return pages


def _text(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_generated_pages_are_current(generated: dict[str, str]) -> None:
    stale = [
        name for name, text in generated.items() if not (REFERENCE / name).exists() or _text(name) != text
    ]
    assert stale == [], "run `make docs`"


def test_every_route_is_on_its_page() -> None:
    page = _text("http.md")
    assert [route.path for route in ROUTES if f"| {route.method} | `{route.path}` |" not in page] == []


def test_every_call_is_on_its_page_with_its_errors(generated: dict[str, str]) -> None:
    page, document = generated["api.md"], json.loads(generated["openapi.json"])
    calls = dict(
        re.findall(r"^### (?P<call>[A-Z]+ `\S+`)$(?P<text>.*?)(?=^##)", page, re.MULTILINE | re.DOTALL)
    )
    operations = {
        f"{method.upper()} `{path}`": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    assert calls.keys() == operations.keys()
    for call, operation in operations.items():
        named = [f"| `{one['name']}` | {one['in']} |" for one in operation.get("parameters", ())]
        errors = [f" {status} (" for status in operation["responses"] if status >= "400" and status != "416"]
        assert [words for words in [*named, *errors, "- 200: "] if words not in calls[call]] == [], call
    schemas = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    assert set(schemas) == set(document["components"]["schemas"])


def test_every_hook_is_on_its_page() -> None:
    page = _text("hooks.md")
    hooks = [name for name in vars(HostSpecs) if not name.startswith("_")]
    assert [name for name in hooks if f"## {name}\n" not in page] == []


def test_every_setting_is_on_its_page() -> None:
    page = _text("settings.md")
    assert [field.name for field in dataclasses.fields(Settings) if f"`{field.name}`" not in page] == []


def test_every_error_title_is_on_its_page() -> None:
    page = _text("errors.md")
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    titles = [kind.title for kind in kinds if issubclass(kind, errors.StrettoError)]
    assert [title for title in titles if f"| `{title}` |" not in page] == []


def test_every_key_of_plugins_toml_is_on_its_page() -> None:
    page = _text("plugins-toml.md")
    names = [*(field.name for field in dataclasses.fields(HostTable)), *HOST_KEYS]
    assert [name for name in names if f"| `{name}` |" not in page] == []


def test_every_key_of_the_built_in_plugins_is_on_its_page() -> None:
    page = _text("plugins-toml.md")
    keyed = {}
    for name, word in itertools.product(BUILT_INS, ("Settings", "Parameters")):
        declared: Any = getattr(importlib.import_module(f"stretto.plugins.{name}"), word, None)
        if declared is not None:
            title = f"[plugins.{name}]" if word == "Settings" else f"plugins.{name}"
            keyed[title] = [field.name for field in dataclasses.fields(declared)]
            assert declared.__module__ == f"stretto.plugins.{name}", (
                "another's settings, which would not be read"
            )
    assert keyed == {
        "[plugins.superres]": ["tile", "overlap"],
        "[plugins.backgrounds]": ["network"],
        "plugins.backgrounds": ["network"],
        "plugins.controls": ["low_threshold", "high_threshold"],
        "[plugins.compilers]": ["refit"],
    }
    for title, keys in keyed.items():
        section = page.partition(f"### `{title}`\n")[2].partition("\n#")[0]
        assert [key for key in keys if f"| `{key}` |" not in section] == []


@pytest.mark.parametrize("name", ["onboarding.md", "hostile-input.md"])
def test_paths_that_readers_are_sent_to_exist(name: str) -> None:
    page = (DOCS / "explanation" / name).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:toml|md|txt)|Makefile)`", page))
    assert len(named) > 15
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


@pytest.mark.parametrize(
    "document",
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_links_inside_the_repository_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    inside = [target.split("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    assert [target for target in inside if not (document.parent / target).exists()] == []
