"""What changed between two descriptions of the plugin API, and which step of its version each change needs.

What plugins make must stay makeable, what they are handed must stay readable, and what they call callable:
docs/adr/0027-what-breaks-a-plugin.md says which change is which.
"""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Change", "changes", "enough"]

Shape = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of what `name` is, in words; a breaking one needs the version's first number stepped."""

    name: str
    words: str
    breaking: bool

    def __str__(self) -> str:
        return f"{'breaking' if self.breaking else 'added   '}  {self.name}: {self.words}"


def changes(old: Shape, new: Shape) -> list[Change]:
    """Give every change, the breaking ones first."""
    found = [
        *_keys("plugin module", old["module"], new["module"], "what the host reads"),
        *_keys("kinds", old["kinds"], new["kinds"], "kind"),
        *_tables(old["hooks"], new["hooks"], "hook", _hook),
        *_tables(old["names"], new["names"], "name", _shape),
        *_tables(old["behind"], _seen(new), "type named by public ones", _shape),
    ]
    return sorted(found, key=lambda change: not change.breaking)


def enough(old: str, new: str, found: Sequence[Change]) -> bool:
    """Say whether the version was stepped as far as the changes need; versions are "FIRST.SECOND"."""
    before, after = ([int(part) for part in version.split(".")] for version in (old, new))
    if any(change.breaking for change in found):
        return after[0] > before[0]
    return after > before if found else after >= before


def _seen(new: Shape) -> Shape:
    """Give all shapes: what stood behind public names may have become public itself."""
    return {**new["names"], **new["behind"]}


def _tables(
    old: Shape, new: Shape, word: str, compare: Callable[[str, Shape, Shape], Iterator[Change]]
) -> Iterator[Change]:
    for name in old:
        if name not in new:
            yield _broken(name, f"this {word} is gone")
        else:
            yield from compare(name, old[name], new[name])
    if word != "type named by public ones":
        yield from (_added(name, f"a new {word}") for name in new if name not in old)


def _keys(name: str, old: Shape, new: Shape, word: str) -> Iterator[Change]:
    """Compare words by key: gone and changed ones break, new ones do not."""
    for key, value in old.items():
        if key not in new:
            yield _broken(name, f"{word} '{key}' is gone")
        elif new[key] != value:
            yield _broken(name, f"{word} '{key}' was {value!r} and is {new[key]!r}")
    yield from (_added(name, f"{word} '{key}' is new") for key in new if key not in old)


def _hook(name: str, old: Shape, new: Shape) -> Iterator[Change]:
    # pluggy passes arguments by name, and implementations may leave any out: their order is nothing
    yield from _keys(name, old["arguments"], new["arguments"], "argument")
    yield from _same(name, old, new, "returns", "first_result")


def _shape(name: str, old: Shape, new: Shape) -> Iterator[Change]:
    if old["is"] != new["is"]:
        yield _broken(name, f"was of the kind {old['is']} and is of the kind {new['is']}")
        return
    match old["is"]:
        case "dataclass":
            yield from _dataclass(name, old, new)
        case "protocol":
            yield from _protocol(name, old, new)
        case "enum":
            yield from _keys(name, old["members"], new["members"], "member")
        case "union":
            yield from _members(name, old["members"], new["members"], "member")
        case "error":
            yield from _members(name, old["bases"], new["bases"], "base")
            yield from _same(name, old, new, "title", "status")
            yield from _arguments(name, old.get("arguments", ()), new.get("arguments", ()))
        case "function":
            yield from _called(name, old, new)
        case _:
            yield from _same(name, old, new, "type")


def _dataclass(name: str, old: Shape, new: Shape) -> Iterator[Change]:
    yield from _members(name, old["bases"], new["bases"], "base")
    yield from _same(name, old, new, "frozen")
    yield from _arguments(name, old["fields"], new["fields"], "field")
    yield from _methods(name, old, new, by_plugins=False)


def _protocol(name: str, old: Shape, new: Shape) -> Iterator[Change]:
    by_plugins = new["made_by"] == "plugins"
    yield from _same(name, old, new, "made_by")
    if by_plugins and set(new["bases"]) - set(old["bases"]):
        yield _broken(name, f"bases were {old['bases']} and are {new['bases']}")
    yield from _members(name, old["bases"], new["bases"], "base")
    for change in _keys(name, old["attributes"], new["attributes"], "attribute"):
        yield (
            _broken(name, f"{change.words}, and plugins' objects lack it")
            if (by_plugins and not change.breaking)
            else change
        )
    yield from _methods(name, old, new, by_plugins=by_plugins)


def _methods(name: str, old: Shape, new: Shape, *, by_plugins: bool) -> Iterator[Change]:
    """Compare methods; `by_plugins` are those that plugins write and the host calls."""
    for method, shape in old["methods"].items():
        if method not in new["methods"]:
            yield _broken(name, f"the method '{method}' is gone")
        elif by_plugins and shape != new["methods"][method]:
            yield _broken(name, f"the method '{method}' is called otherwise, and plugins have written it")
        elif not by_plugins:
            yield from _called(f"{name}.{method}", shape, new["methods"][method])
    for method in new["methods"]:
        if method not in old["methods"]:
            lacked = (
                ", and plugins' objects lack it; make a protocol that extends this one" if by_plugins else ""
            )
            yield Change(name=name, words=f"the method '{method}' is new{lacked}", breaking=by_plugins)


def _called(name: str, old: Shape, new: Shape) -> Iterator[Change]:
    yield from _arguments(name, old["arguments"], new["arguments"])
    yield from _same(name, old, new, "returns")


def _arguments(
    name: str, old: Sequence[Shape], new: Sequence[Shape], word: str = "argument"
) -> Iterator[Change]:
    """Compare what callers give: arguments of what they call, fields of what they make."""
    after = {one["name"]: one for one in new}
    for one in old:
        if one["name"] not in after:
            yield _broken(name, f"the {word} '{one['name']}' is gone")
        else:
            yield from _argument(name, one, after[one["name"]], word)
    known = {one["name"] for one in old}
    for one in new:
        if one["name"] not in known:
            need = "" if one["optional"] else ", and nobody gives it: it needs a default"
            yield Change(
                name=name, words=f"the {word} '{one['name']}' is new{need}", breaking=not one["optional"]
            )
    now = _placed(new)
    stayed = [one for one in _placed(old) if one in now]
    if now[: len(stayed)] != stayed:
        yield _broken(name, f"its {word}s by place were {', '.join(stayed)} and are {', '.join(now)}")


def _argument(name: str, old: Shape, new: Shape, word: str) -> Iterator[Change]:
    called = f"the {word} '{old['name']}'"
    if old["type"] != new["type"]:
        yield _broken(name, f"{called} was {old['type']} and is {new['type']}")
    if old["optional"] != new["optional"]:
        said = "lost its default" if old["optional"] else "has a default now"
        yield Change(name=name, words=f"{called} {said}", breaking=old["optional"])
    if old["keyword_only"] != new["keyword_only"]:
        said = "is given by name alone now" if new["keyword_only"] else "may be given by its place now"
        yield Change(name=name, words=f"{called} {said}", breaking=new["keyword_only"])


def _placed(arguments: Sequence[Shape]) -> list[str]:
    return [one["name"] for one in arguments if not one["keyword_only"]]


def _members(name: str, old: Sequence[str], new: Sequence[str], word: str) -> Iterator[Change]:
    yield from (_broken(name, f"the {word} {one} is gone") for one in old if one not in new)
    yield from (_added(name, f"the {word} {one} is new") for one in new if one not in old)


def _same(name: str, old: Shape, new: Shape, *keys: str) -> Iterator[Change]:
    for key in keys:
        if old[key] != new[key]:
            yield _broken(name, f"{key.replace('_', ' ')}: was {old[key]!r} and is {new[key]!r}")


def _broken(name: str, words: str) -> Change:
    return Change(name=name, words=words, breaking=True)


def _added(name: str, words: str) -> Change:
    return Change(name=name, words=words, breaking=False)
