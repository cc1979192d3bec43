"""Offers whose functions, and what these build, are called through the door.

What is built keeps its identity, its class's name and its `isinstance`: it is given a subclass of its class
that has the same methods, timed. Methods of what has no such class, a module say, and those that an object has itself
are replaced in the object. What is a function is given as another one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, fields, replace
from functools import wraps
from types import FunctionType, MappingProxyType, TracebackType
from typing import Any

from ..contracts.specs import Spec
from .calls import Calls, Place

__all__ = ["METHODS", "Offering"]

# By kind: a word for one in messages, and the methods that the host calls of what is built.
METHODS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "schedulers": (
            "scheduler",
            ("set_timesteps", "set_begin_index", "scale_model_input", "add_noise", "step"),
        ),
        "loaders": ("loader", ("accepts", "load")),
        "patchers": ("patcher", ("accepts", "applied")),
        "preprocessors": ("preprocessor", ("processed",)),
        "upscalers": ("upscaler", ("upscale", "pieces")),
        "background_removers": ("background remover", ("remove",)),
        "compilers": (
            "compiler",
            ("version", "target", "targets", "flags", "flags_for", "build", "refit", "unable", "open"),
        ),
    }
)
_THROUGH = "_stretto_through"  # in a class whose methods go through the door
_BUILDERS = (
    "build",
    "open",
    "assemble",
    "adjusted",
)  # fields of specs that give something whose methods are called
_PLANNING = ("missing", "wanted")  # what planning asks is to be answered soon
_END = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Thing:
    """Whose methods are called: an offer, or what it built."""

    plugin: str
    name: str
    word: str

    def place(self, method: str) -> Place:
        word = self.word.replace(" ", "_")
        doing = f"{method.strip('_')} of the {self.word} '{self.name}'"
        return Place(self.plugin, f"{word}.{method.strip('_')}", doing, drawing=method not in _PLANNING)


class Offering:
    """What one host's plugins offer, as the host calls it."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._classes: dict[tuple[type, _Thing], type] = {}

    def spec(self, spec: Spec, plugin: str, kind: str) -> Spec:
        """Give a spec that is the same but for its functions; routes and commands are called elsewhere."""
        if kind not in METHODS:
            return spec
        word, methods = METHODS[kind]
        thing = _Thing(plugin=plugin, name=spec.name, word=word)
        through = copy.copy(spec)
        for field in fields(spec):
            work = getattr(spec, field.name)
            if callable(work):
                called = self._calls.called(thing.place(field.name), work)
                if field.name in _BUILDERS:
                    called = self._building(called, thing, methods)
                object.__setattr__(through, field.name, called)
        return through

    # -- inside --------------------------------------------------------------------------------

    def _building(
        self, build: Callable[..., Any], thing: _Thing, methods: tuple[str, ...]
    ) -> Callable[..., Any]:
        @wraps(build)
        def building(*arguments: Any, **named: Any) -> Any:
            return self._built(build(*arguments, **named), thing, methods)

        return building

    def _built(self, made: object, thing: _Thing, methods: tuple[str, ...]) -> object:
        """Give what was built, with its methods called through the door from now on."""
        kind = type(made)
        if _THROUGH in vars(kind):  # it was built before
            return made
        if isinstance(made, FunctionType) and "__call__" in methods:
            return self._calls.called(thing.place("__call__"), made)
        known = self._classes.get((kind, thing))
        try:
            if known is None:
                known = self._classes[kind, thing] = self._subclass(kind, thing, methods)
            object.__setattr__(made, "__class__", known)
            own: Mapping[str, object] = getattr(made, "__dict__", {})
        except Exception:  # noqa: BLE001 - no class in Python, or one that cannot be had anew for a reason of its own
            own = {method: getattr(made, method, None) for method in methods}
        for method in methods:
            work = own.get(method)
            if callable(work) and not hasattr(work, _THROUGH):
                self._put(made, method, self._method(work, thing, method))
        return made

    def _put(self, made: object, method: str, through: Callable[..., Any]) -> None:
        with suppress(
            AttributeError, TypeError
        ):  # where it can be had; else errors are found by their traces
            setattr(through, _THROUGH, True)
            object.__setattr__(made, method, through)

    def _subclass(self, kind: type, thing: _Thing, methods: tuple[str, ...]) -> type:
        about = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
        inside: dict[str, Any] = {**about, "__slots__": (), _THROUGH: True}
        for method in methods:
            work = getattr(kind, method, None)
            if work is not None:
                inside[method] = self._method(work, thing, method)
        subclass: type = type(kind)(kind.__name__, (kind,), inside)
        return subclass

    def _method(self, work: Callable[..., Any], thing: _Thing, method: str) -> Callable[..., Any]:
        called = self._calls.called(thing.place(method), work)
        if method == "pieces":
            return self._parts(called, thing.place(method))
        if method == "applied":
            return self._lasting(called, thing)
        if method == "open":
            return self._building(called, replace(thing, word="compiled network"), ("__call__",))
        return called

    def _parts(self, work: Callable[..., Iterator[Any]], place: Place) -> Callable[..., Iterator[Any]]:
        more = self._calls.called(place, next)

        @wraps(work)
        def parts(*arguments: Any, **named: Any) -> Iterator[Any]:
            made = iter(work(*arguments, **named))
            while (part := more(made, _END)) is not _END:
                yield part

        return parts

    def _lasting(
        self, work: Callable[..., AbstractContextManager[Any]], thing: _Thing
    ) -> Callable[..., AbstractContextManager[Any]]:
        @wraps(work)
        def lasting(*arguments: Any, **named: Any) -> AbstractContextManager[Any]:
            return _Lasting(work(*arguments, **named), self._calls, thing)

        return lasting


class _Lasting(AbstractContextManager[Any]):
    """A context of a plugin's, whose beginning and end are called through the door."""

    def __init__(self, inner: AbstractContextManager[Any], calls: Calls, thing: _Thing) -> None:
        self._inner = inner
        self._calls = calls
        self._thing = thing

    def __enter__(self) -> Any:
        return self._calls.called(self._thing.place("applied"), self._inner.__enter__)()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        def leave() -> bool | None:
            try:
                return self._inner.__exit__(kind, error, trace)
            except BaseException as raised:
                if raised is not error:
                    raise
                return False  # what it lets through is not its failure

        left: bool | None = self._calls.called(self._thing.place("taken_off"), leave)()
        return left
