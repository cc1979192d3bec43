"""What `stretto.host` promises to plugins, as plain values: hooks, kinds, and the shape of every public name."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Protocol, Union, get_args, get_origin

import stretto.host
import stretto.host.settings
from stretto.host.hookspecs import PROJECT, HostSpecs
from stretto.host.plugboard.discover import GROUP
from stretto.host.plugboard.registry import KINDS
from stretto.host.promise import DECLARATION, STRETTO_API

__all__ = ["MADE_BY_THE_HOST", "described", "hook_functions"]

# Plugins are handed these and make none, so that a new method breaks nobody. All other protocols are what plugins make.
MADE_BY_THE_HOST = frozenset({"Bench", "Call", "Console", "HostView", "Network"})
ALIASES = (Annotated, Literal, Union, types.UnionType)
DOTTED = re.compile(r"\b(?:stretto\.host|annotated_types|typing|collections\.abc)[\w.]*\.")
WORD = re.compile(r"\b[A-Z]\w+")
Shape = dict[str, Any]


def described() -> Shape:
    """Give it all; `names` are public, `behind` is what their annotations name beside them."""
    return {
        "version": STRETTO_API,
        "module": {
            "entry_points": GROUP,
            "range": DECLARATION,
            "settings": "Settings",
            "parameters": "Parameters",
        },
        "kinds": {kind: f"{one.hook} -> {one.spec.__name__}" for kind, one in KINDS.items()},
        "hooks": {hook.__name__: _hook(hook) for hook in hook_functions()},
        "names": {name: _shape(getattr(stretto.host, name), name) for name in stretto.host.__all__},
        "behind": {name: _shape(value, name) for name, value in sorted(_behind().items())},
    }


def hook_functions() -> list[Callable[..., Any]]:
    """Give the specifications of the hooks, in call order."""
    return [value for name, value in vars(HostSpecs).items() if inspect.isfunction(value) and name[0] != "_"]


def _hook(hook: Any) -> Shape:
    signature = inspect.signature(hook)
    return {
        "arguments": {
            name: _text(one.annotation) for name, one in signature.parameters.items() if name != "self"
        },
        "returns": _text(signature.return_annotation),
        "first_result": bool(getattr(hook, f"{PROJECT}_spec")["firstresult"]),
    }


def _shape(value: Any, name: str) -> Shape:
    if get_origin(value) in (Union, types.UnionType):
        return {"is": "union", "members": [_text(member) for member in get_args(value)]}
    if get_origin(value) is not None:
        return {"is": "alias", "type": _text(value)}
    if inspect.isclass(value):
        return _class(value, name)
    if inspect.isfunction(value):
        return {"is": "function", **_signature(value)}
    return {"is": "constant", "type": type(value).__name__}


def _class(value: Any, name: str) -> Shape:
    bases = [base.__name__ for base in value.__bases__ if base not in (object, Protocol)]
    if issubclass(value, enum.Enum):
        return {"is": "enum", "members": {member.name: member.value for member in value}}
    if issubclass(value, Exception):
        made = {"arguments": _signature(value.__init__)["arguments"]} if "__init__" in vars(value) else {}
        return {"is": "error", "bases": bases, "title": value.title, "status": value.status, **made}
    if dataclasses.is_dataclass(value):
        frozen = bool(value.__dataclass_params__.frozen)  # type: ignore[attr-defined]  # dataclasses' own, untyped
        fields = [_field(field) for field in dataclasses.fields(value)]
        return {
            "is": "dataclass",
            "bases": bases,
            "frozen": frozen,
            "fields": fields,
            "methods": _methods(value),
        }
    return {
        "is": "protocol",
        "made_by": "host" if name in MADE_BY_THE_HOST else "plugins",
        "bases": bases,
        "attributes": {key: _text(hint) for key, hint in inspect.get_annotations(value).items()},
        "methods": _methods(value),
    }


def _field(field: dataclasses.Field[Any]) -> Shape:
    missing = dataclasses.MISSING
    optional = field.default is not missing or field.default_factory is not missing
    return {
        "name": field.name,
        "type": _text(field.type),
        "optional": optional or not field.init,
        "keyword_only": bool(field.kw_only),
    }


def _methods(value: type) -> dict[str, Shape]:
    own = {name: one for name, one in vars(value).items() if name == "__call__" or name[0] != "_"}
    return {name: _signature(_function(one)) for name, one in own.items() if _function(one) is not None}


def _function(value: Any) -> Any:
    """Give what a method, a property or a class method runs; None for anything else."""
    inner = getattr(value, "fget", None) or getattr(value, "__func__", value)
    return inner if inspect.isfunction(inner) else None


def _signature(function: Callable[..., Any]) -> Shape:
    signature = inspect.signature(function)
    return {
        "arguments": [
            {
                "name": name,
                "type": _text(one.annotation),
                "optional": one.default is not one.empty or one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL),
                "keyword_only": one.kind is one.KEYWORD_ONLY,
            }
            for name, one in signature.parameters.items()
            if name not in ("self", "cls")
        ],
        "returns": _text(signature.return_annotation),
    }


def _text(hint: Any) -> str:
    if hint is inspect.Signature.empty:
        return ""
    if inspect.isclass(hint) and get_origin(hint) is None:
        return hint.__name__
    bare = DOTTED.sub("", " ".join(str(hint).split()))
    return ast.unparse(_Unbounded().visit(ast.parse(bare, mode="eval")))


class _Unbounded(ast.NodeTransformer):
    """Leaves of `Annotated[X, ...]` the type alone: what values a request may have is the JSON API's to say."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if (
            isinstance(node.value, ast.Name)
            and node.value.id == "Annotated"
            and isinstance(node.slice, ast.Tuple)
        ):
            return self.visit(node.slice.elts[0])  # type: ignore[no-any-return]  # a visitor gives nodes
        return self.generic_visit(node)


def _behind() -> Mapping[str, Any]:
    """Give what public annotations name, and what that names, without what is public itself."""
    known = set(stretto.host.__all__)
    found: dict[str, Any] = {}
    waiting: list[Any] = [HostSpecs, *(getattr(stretto.host, name) for name in stretto.host.__all__)]
    while waiting:
        value = waiting.pop()
        spaces = [vars(sys.modules[getattr(value, "__module__", __name__)]), vars(stretto.host.settings)]
        for word in sorted({word for hint in _hints(value) for word in WORD.findall(hint)} - known):
            named = next((space[word] for space in spaces if word in space), None)
            if _ours(named):
                known.add(word)
                found[word] = named
                waiting.append(named)
    return found


def _hints(value: Any) -> Iterator[str]:
    if get_origin(value) is not None:
        yield from ()
    elif inspect.isclass(value) and not issubclass(value, (enum.Enum, Exception)):
        yield from (_text(hint) for hint in inspect.get_annotations(value).values())
        for one in vars(value).values():
            function = _function(one)
            if function is not None:
                yield from (_text(hint) for hint in function.__annotations__.values())


def _ours(value: Any) -> bool:
    if get_origin(value) is not None:
        return get_origin(value) in ALIASES
    return inspect.isclass(value) and value.__module__.startswith("stretto.host.")
