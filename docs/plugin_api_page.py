"""The reference page of all that plugins may import, by group, with signatures and what each is for."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import stretto.host
from plugin_api import MADE_BY_THE_HOST, described

__all__ = ["plugin_api_parts"]

HOST = Path(__file__).parents[1] / "host"
INTRO = """
All that `from stretto.host import ...` gives, and the kinds of things that plugins offer. It is the whole of what a
plugin may import, but for [`stretto.host.testing`](#the-kit) in its tests; `stretto plugins check` names each line
that takes more. [Hooks](hooks.md) are what it may implement.

This is version **{version}** of the plugin API. A plugin says which versions it works with at the top of its module, as
`{range} = ">={version},<{next}"` ([PEP 440](https://peps.python.org/pep-0440/#version-specifiers)); a host of another
version shows it as a row with the reason. A step of the first number may break plugins, one of the second only adds;
the [changelog](../../CHANGELOG.md) says what to do. [What breaks a plugin](../adr/0027-what-breaks-a-plugin.md) is decided
by rules that a test holds the code to.

## A plugin's module

An entry point of the group `{entry_points}` names it, or a file in `paths` of [plugins.toml](plugins-toml.md). Beside its
functions the host reads three names at its top, each of which may be missing:

| name | what it is |
|---|---|
| `{settings}` | a frozen dataclass for the table `[plugins.NAME]`; `host.plugin_settings(NAME, {settings})` gives one |
| `{parameters}` | a frozen dataclass, every field with a default, for `plugins: {{NAME: {{...}}}}` of a request; `host.plugin_parameters(NAME, {parameters}, request)` gives one |
| `{range}` | the versions of this API that it works with |
"""
KINDS = """
## Kinds of offers

`host.offers(kind)` gives what is offered of a kind, by name; `host.offer(kind, name)` one of them, by alias too.
"""
KIT = """
## The kit

`stretto.host.testing` is for tests: `assert_conforms(spec)` holds an offer to what its kind promises, and with Stretto
installed pytest has the fixtures `host`, `open_host`, `client`, `starter`, `tiny_sd15`, `tiny_sdxl` and more;
[test a plugin](../howto/test-a-plugin.md) shows them. The kit may ask more of a plugin with each release, so it is no part
of what the version promises: what it finds is worth mending, and nothing breaks by it.
"""
GROUPS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Offers": ("What `register_*` hooks return.", ("contracts.specs", "contracts.routes")),
    "What offers build, and what hooks are handed": (
        "Protocols: nothing has to be inherited. The host makes some of them, and plugins the others.",
        ("contracts.protocols", "contracts.engines"),
    ),
    "A request and its plan": (
        "",
        ("contracts.request", "contracts.plan", "contracts.refining", "contracts.acceleration"),
    ),
    "Steps": ("What `run_step` is called with.", ("contracts.steps",)),
    "Events": ("What `observe` hears.", ("contracts.events", "contracts.costs")),
    "Models and weights": ("", ("contracts.models", "contracts.images")),
    "Errors": (
        "What a plugin raises, and what it may catch. The message says what, which value, and what would do.",
        ("errors",),
    ),
    "All else": ("", ("hookspecs", "promise", "settings")),
}
SAID_ELSEWHERE = {
    "STRETTO_API": "The version of this API that the host has.",
    "hookimpl": "Marks a function or method that implements a hook; `@hookimpl(wrapper=True)` one that wraps it.",
    "Step": "Any of the steps.",
    "Layering": "The steps that lay one picture over others.",
    "Reply": "What the handler of a route gives.",
}


def plugin_api_parts() -> list[str]:
    """Give the page's parts; raises KeyError for a public name that stands in no group."""
    api = described()
    first = int(api["version"].split(".")[0])
    intro = INTRO.format(version=api["version"], next=first + 1, **api["module"])
    rows = "\n".join(f"| `{kind}` | {_kind_words(words)} |" for kind, words in api["kinds"].items())
    parts = [intro, f"{KINDS.strip()}\n\n| kind | hook and spec |\n|---|---|\n{rows}"]
    homes = _homes()
    grouped = {module: group for group, (_, modules) in GROUPS.items() for module in modules}
    for group, (words, _) in GROUPS.items():
        parts.append(f"## {group}\n\n{words}")
        names = [name for name in api["names"] if grouped[homes[name]] == group]
        parts += [_entry(name, api["names"][name]) for name in names]
    behind = ", ".join(f"`{name}`" for name in api["behind"])
    parts.append(f"These names stand in signatures and are no part of what is imported: {behind}.")
    return [*parts, KIT]


def _kind_words(words: str) -> str:
    hook, spec = words.split(" -> ")
    return f"[`{hook}`](hooks/{hook}.md) gives [`{spec}`](#{spec.lower()})"


def _homes() -> dict[str, str]:
    """Give the module below `stretto.host` that each public name is taken from."""
    tree = ast.parse((HOST / "__init__.py").read_text(encoding="utf-8"))
    return {
        alias.asname or alias.name: str(node.module)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }


def _entry(name: str, shape: Mapping[str, Any]) -> str:
    value = getattr(stretto.host, name)
    code = "\n".join(_code(name, shape))
    block = f"```text\n{code}\n```"  # as python, the formatter would break these lines
    told = "\n".join(_told(value, method) for method in shape.get("methods", ()))
    return "\n\n".join(part for part in (f"### {name}", block, _said(name, value), told) if part)


def _told(value: Any, method: str) -> str:
    words = " ".join(inspect.cleandoc(getattr(value, method).__doc__ or "").split())
    return f"- `{method}`: {words}"


def _said(name: str, value: Any) -> str:
    if name in SAID_ELSEWHERE:
        return SAID_ELSEWHERE[name]
    words = inspect.cleandoc(value.__doc__ or "")
    by = ""
    if getattr(value, "_is_protocol", False):
        by = "\n\nThe host makes it." if name in MADE_BY_THE_HOST else "\n\nPlugins make it."
    return words + by


def _code(name: str, shape: Mapping[str, Any]) -> Iterator[str]:
    match shape["is"]:
        case "dataclass":
            yield f"class {name}{_bases(shape)}:"
            yield from (f"    {_argument(field)}" for field in shape["fields"])
            yield from _methods(shape)
            if not shape["fields"] and not shape["methods"]:
                yield "    ..."
        case "protocol":
            yield f"class {name}{_bases(shape) or '(Protocol)'}:"
            yield from (f"    {key}: {hint}" for key, hint in shape["attributes"].items())
            yield from _methods(shape)
        case "enum":
            yield f"class {name}(StrEnum):"
            yield from (f"    {key} = {value!r}" for key, value in shape["members"].items())
        case "error":
            yield f"{name}{_bases(shape)}, answered with {shape['status']}"
        case "union":
            yield f"{name} = {' | '.join(shape['members'])}"
        case "function":
            yield f"{name}{_signature(shape, bound=False)}"
        case _:
            yield f"{name}: {shape['type']}"


def _bases(shape: Mapping[str, Any]) -> str:
    return f"({', '.join(shape['bases'])})" if shape["bases"] else ""


def _methods(shape: Mapping[str, Any]) -> Iterator[str]:
    for name, one in shape["methods"].items():
        yield f"    def {name}{_signature(one, bound=True)}: ..."


def _signature(shape: Mapping[str, Any], *, bound: bool) -> str:
    given = ["self"] if bound else []
    named = False
    for one in shape["arguments"]:
        if one["keyword_only"] and not named:
            named = True
            given.append("*")
        text = _argument(one)
        given.append(f"**{text.removesuffix(' = ...')}" if one["name"] == "kwargs" else text)
    return f"({', '.join(given)}) -> {shape['returns'] or 'None'}"


def _argument(one: Mapping[str, Any]) -> str:
    hint = re.sub(r"\s+", " ", one["type"])
    return f"{one['name']}: {hint}{' = ...' if one['optional'] else ''}"
