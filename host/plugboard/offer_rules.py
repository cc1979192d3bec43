"""What a plugin's route or command must be to be taken; every refusal says what would do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from ..contracts.routes import CommandSpec, RouteSpec
from ..contracts.specs import Spec
from ..errors import PluginError
from .reserved import OWN_COMMANDS, OWN_WORDS

__all__ = ["check_offer", "exclusive_words"]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
WITH_BODY = ("POST", "PUT", "PATCH")
NEEDS = ("anybody", "user", "admin")
NAMED = re.compile(r"<([A-Za-z_]\w*)>", re.ASCII)
LITERAL = re.compile(r"[A-Za-z0-9._~-]+")
COMMAND = re.compile(r"[a-z][a-z0-9-]*")
MEDIA_TYPE = re.compile(r"[a-z0-9]+/[a-z0-9.+-]+")
SCALARS = (bool, int, float, str)
CONTAINERS = (dict, list, tuple, Mapping, Sequence)


def check_offer(spec: Spec) -> None:
    """Raise PluginError for a route or command that cannot be served as it is."""
    if isinstance(spec, RouteSpec):
        _check_route(spec)
    elif isinstance(spec, CommandSpec):
        _check_command(spec)


def exclusive_words(spec: Spec) -> tuple[str, ...]:
    """Give what no second offer of the kind may have, beside names: a route's method and path."""
    if not isinstance(spec, RouteSpec):
        return ()
    return (f"{spec.method} {NAMED.sub('<name>', spec.path)}",)


def _check_command(spec: CommandSpec) -> None:
    for word in (spec.name, *spec.aliases):
        if word in OWN_COMMANDS:
            raise PluginError(
                f"it offers the command '{word}', which is the host's own; give it another name"
            )
        if not COMMAND.fullmatch(word):
            raise PluginError(
                f"it offers the command '{word}'; a command is lower-case letters, digits and hyphens"
            )
    if not callable(spec.build):
        raise PluginError(f"its command '{spec.name}' has a `build` that cannot be called: {spec.build!r}")


def _check_route(spec: RouteSpec) -> None:
    where = f"its route '{spec.name}'"
    if spec.method not in METHODS:
        raise PluginError(f"{where} has the method {spec.method!r}; known: {', '.join(METHODS)}")
    if spec.needs not in NEEDS:
        raise PluginError(f"{where} needs {spec.needs!r}; known: {', '.join(NEEDS)}")
    if not callable(spec.handle):
        raise PluginError(f"{where} has a `handle` that cannot be called: {spec.handle!r}")
    if type(spec.handle).__hash__ is None:
        raise PluginError(
            f"{where} has a `handle` that cannot be hashed; give its class eq=False or a __hash__"
        )
    _check_path(spec.path, where)
    if spec.query is not None:
        _check_form(spec.query, f"{where} has the query", nested=False, seen=())
    if spec.body is not None:
        if spec.method not in WITH_BODY:
            raise PluginError(f"{where} reads a body, which {spec.method} has not; use POST, PUT or PATCH")
        _check_form(spec.body, f"{where} has the body", nested=True, seen=())
    _check_answer(spec.answer, where)


def _check_path(path: str, where: str) -> None:
    if not isinstance(path, str) or not path.startswith("/api/"):
        raise PluginError(f"{where} has the path {path!r}; paths begin with /api/")
    first, *rest = path.removeprefix("/api/").split("/")
    if not LITERAL.fullmatch(first):
        raise PluginError(f"{where} has the path {path!r}; a word of letters, digits, . _ ~ - follows /api/")
    if first in OWN_WORDS:
        raise PluginError(
            f"{where} has the path {path!r}, and all below /api/{first} is the host's own; begin with another word"
        )
    for part in rest:
        if not LITERAL.fullmatch(part) and not NAMED.fullmatch(part):
            raise PluginError(
                f"{where} has the path {path!r}; between slashes stands a word of letters, digits, . _ ~ -, "
                f"or a name such as <uuid>, not {part!r}"
            )
    names = NAMED.findall(path)
    if len(names) > len(set(names)):
        raise PluginError(f"{where} has the path {path!r}, which gives two parts one name; name them apart")


def _check_form(form: Any, where: str, *, nested: bool, seen: tuple[Any, ...]) -> None:
    """Refuse what is no frozen dataclass of the types that a query (or with `nested` a body) is read into."""
    if not isinstance(form, type) or not is_dataclass(form):
        raise PluginError(f"{where} {form!r}; make it a frozen dataclass")
    where = f"{where} {form.__name__}"
    if not form.__dataclass_params__.frozen:  # type: ignore[attr-defined]  # is_dataclass says nothing of it
        raise PluginError(f"{where}, which is not frozen; write @dataclass(frozen=True)")
    if form in seen:
        raise PluginError(f"{where} within itself; what is read has an end")
    for name, hint in _hints(form, where).items():
        _check_field(hint, f"{where}, whose field '{name}' is", nested=nested, seen=(*seen, form))


def _check_field(hint: Any, where: str, *, nested: bool, seen: tuple[Any, ...]) -> None:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        _check_field(hint.__origin__, where, nested=nested, seen=seen)
    elif origin in (Union, UnionType):
        arms = [arm for arm in parts if arm is not NoneType]
        if len(arms) > 1:
            raise PluginError(f"{where} {hint!r}; declare one type, or one and None")
        _check_field(arms[0], where, nested=nested, seen=seen)
    elif origin is tuple and parts[1:] == (...,):
        _check_field(parts[0], where, nested=nested, seen=seen)
    elif nested and isinstance(hint, type) and is_dataclass(hint):
        _check_form(hint, where, nested=True, seen=seen)
    elif not (origin is Literal or hint in SCALARS or (nested and hint == dict[str, Any])):
        known = "bool, int, float, str, Literal[...], X | None, tuple[X, ...]"
        more = ", frozen dataclasses and dict[str, Any]" if nested else ""
        raise PluginError(f"{where} {hint!r}; known: {known}{more}")


def _check_answer(answer: Any, where: str) -> None:
    if answer is None or (isinstance(answer, str) and MEDIA_TYPE.fullmatch(answer)):
        return
    if isinstance(answer, str):
        raise PluginError(
            f"{where} has the answer {answer!r}; say its type, or a media type such as 'image/png'"
        )
    _check_type(answer, f"{where} has the answer", seen=set())


def _check_type(hint: Any, where: str, seen: set[Any]) -> None:
    origin, parts = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and (is_dataclass(hint) or is_typeddict(hint)):
        if hint not in seen:
            seen.add(hint)
            for name, inner in _hints(hint, f"{where} {hint.__name__}").items():
                _check_type(inner, f"{where} {hint.__name__}, whose field '{name}' is", seen)
    elif origin is Annotated:
        _check_type(hint.__origin__, where, seen)
    elif origin in (Union, UnionType, *CONTAINERS):
        for part in parts:
            if part is not ...:
                _check_type(part, where, seen)
    elif not (origin is Literal or hint in (*SCALARS, *CONTAINERS, NoneType, Any, None)):
        raise PluginError(
            f"{where} {hint!r}; JSON has bool, int, float, str, None, lists, dicts and dataclasses"
        )


def _hints(owner: Any, where: str) -> dict[str, Any]:
    try:
        return get_type_hints(owner, include_extras=True)
    except Exception as error:  # annotations are any plugin's code
        raise PluginError(f"{where}, whose annotations cannot be read: {error}") from error
