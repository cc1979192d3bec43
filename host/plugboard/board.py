"""Registers plugins, collects what they offer, and calls their hooks one plugin at a time.

A plugin that cannot be imported, has a wrong hook, raises or offers the wrong thing is a row with
its reason, and the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from functools import partial
from typing import Any, Literal

import pluggy

from ..contracts.events import Event
from ..contracts.protocols import HostView
from ..contracts.specs import Spec
from ..errors import (
    ConfigurationError,
    NotFoundError,
    PluginClashError,
    PluginError,
    did_you_mean,
)
from ..hookspecs import PROJECT, HostSpecs
from .breakage import signature_fault
from .calls import Calls
from .discover import BUILT_INS, NOBODY, Candidate, Found, discover, reason
from .offered import Offering
from .parameters import declaration_fault
from .registry import KINDS, Kind, Registry
from .settling import settling
from .switches import Switches

__all__ = ["Board", "PluginRow"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRow:
    """One line of `stretto plugins list`; `offers` are names by kind.

    `reason` says why it is not on, or of one that is on what the administrator should know.
    """

    name: str
    version: str
    origin: str
    offers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    status: Literal["on", "off", "broken"] = "on"
    reason: str | None = None


class Board:
    """The plugins of one host, from `open` to `close`."""

    def __init__(
        self, switches: Switches, view: HostView, found: Sequence[Found], calls: Calls | None = None
    ) -> None:
        self._switches = switches
        self._view = view
        self._found = tuple(found)
        self._broken: dict[int, str] = {}
        self._plugins: dict[str, object] = {}  # those that are on, in the order in which they are asked
        self._registries: dict[str, Registry[Any]] = {name: Registry(kind) for name, kind in KINDS.items()}
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HostSpecs)
        self._started = False
        self.calls = calls or Calls()
        self.ledger = self.calls.ledger
        self._offering = Offering(self.calls)

    @classmethod
    def open(  # noqa: PLR0913 - each is one thing that a host alone has
        cls,
        switches: Switches,
        view: HostView,
        cores: Sequence[object] = (),
        *,
        built_ins: Iterable[str] = BUILT_INS,
        more: Iterable[Candidate] = (),
        off: Mapping[str, str] = NOBODY,
        calls: Calls | None = None,
        before: Board | None = None,
    ) -> Board:
        """Find the plugins, register them over `cores` (the host's own hooks, asked last), take their offers.

        `more` are found beside packages and files; `off` says of plugins by name why they stay off; `calls`
        times and watches them, where several boards of a host follow each other; plugins of the board `before`
        whose code is the same are taken over from it.
        Raises ConfigurationError for a name in plugins.toml that is no plugin's, PluginClashError
        when two plugins offer one name, PluginError when a required plugin is not on.
        """
        kept = () if before is None else before.at_work()
        found = discover(switches, view.version, built_ins, more=more, off=off, kept=kept)
        board = cls(switches, view, found, calls)
        board._note_unimportable()
        board._check_names()
        board._check_tables()
        for core in cores:
            board._manager.register(core, f"host.{type(core).__name__}")
        board._register()
        board._collect()
        board._check_required()
        return board

    # what is there

    def rows(self) -> tuple[PluginRow, ...]:
        """Give one row for each plugin that was found: built-in, then packages, then files."""
        return tuple(self._row(i, one) for i, one in enumerate(self._found))

    def _row(self, index: int, one: Found) -> PluginRow:
        row = PluginRow(name=one.name, version=one.version, origin=one.origin)
        if index in self._broken:
            return replace(row, status="broken", reason=self._broken[index])
        if one.off is not None:
            return replace(row, status="off", reason=one.off)
        offers = {kind: registry.of(one.name) for kind, registry in self._registries.items()}
        return replace(row, offers={kind: names for kind, names in offers.items() if names}, reason=one.note)

    def registry(self, kind: str) -> Registry[Any]:
        """Give all offers of one kind (`schedulers`, ...); raises ConfigurationError for an unknown kind."""
        if kind not in self._registries:
            raise ConfigurationError(
                f"nothing of the kind '{kind}' is offered; {did_you_mean(kind, tuple(KINDS))}"
            )
        return self._registries[kind]

    def named(self, name: str) -> object:
        """Give the module or object of a plugin that is on; raises NotFoundError with the nearest name."""
        if name not in self._plugins:
            raise NotFoundError(f"no plugin '{name}' is on; {did_you_mean(name, tuple(self._plugins))}")
        return self._plugins[name]

    def hooks(self, name: str) -> tuple[str, ...]:
        """Name the hooks of a plugin that is on, in call order; raises as `named` does."""
        own = {caller.name for caller in self._manager.get_hookcallers(self.named(name)) or ()}
        return tuple(hook for hook in vars(HostSpecs) if hook in own)

    def found(self, name: str) -> Found:
        """Give what was found of a plugin, whether it is on or not; raises NotFoundError with the nearest name."""
        for one in self._found:
            if one.name == name:
                return one
        known = tuple(one.name for one in self._found)
        raise NotFoundError(f"there is no plugin '{name}'; {did_you_mean(name, known)}")

    def parameters(self, name: str) -> type | None:
        """Give the dataclass `Parameters` of a plugin that is on, if it has one; raises as `named` does."""
        return _dataclass_of(self.named(name), "Parameters")

    def settings(self, name: str) -> type | None:
        """Give the dataclass `Settings` of a plugin that is on, if it has one; raises as `named` does."""
        return _dataclass_of(self.named(name), "Settings")

    # calling hooks

    def first(self, hook: str, gives: type = object, **arguments: Any) -> Any:
        """Ask plugins in order until one answers, the host's own last; wrappers see the answer.

        Errors of our own tree pass as they are; anything else that a plugin raises becomes a PluginError
        naming the plugin, and so does an answer of its own that is none of `gives`.
        """
        self.calls.ask()
        answer = getattr(self._manager.hook, hook)(**arguments)
        wrong = None if isinstance(answer, gives) else self.calls.wrong_answer(hook, answer, gives.__name__)
        if wrong is not None:
            raise wrong
        return answer

    def start(self, told: Collection[str] = ()) -> None:
        """Tell every plugin that the host takes requests; one that raises is broken and its offers go.

        Those that were `told` before are left alone.
        """
        for name in [name for name in self._plugins if name not in told]:
            self._guarded(name, "host_started", partial(self._call, name, "host_started", host=self._view))
        self._started = True
        self._check_required()

    def observe(self, event: Event) -> None:
        """Tell every plugin about an event; what one raises is logged against it alone."""
        for name in self.having("observe"):
            self._told(name, "observe", event=event)

    @property
    def started(self) -> bool:
        """Say whether the plugins were told that the host takes requests."""
        return self._started

    def staying(self, after: Board) -> frozenset[str]:
        """Name the plugins that are on here and on the board `after`, the same objects with the same settings."""
        return frozenset(
            name
            for name, plugin in self._plugins.items()
            if after._plugins.get(name) is plugin
            and self._switches.tables.get(name) == after._switches.tables.get(name)
        )

    def retire(self, staying: Collection[str]) -> None:
        """Tell all but those that stay that the host stops; calls that have begun here go on to their ends."""
        if self._started:
            for name in [name for name in self.having("host_stopping") if name not in staying]:
                self._told(name, "host_stopping", host=self._view)
        self._started = False

    def at_work(self) -> list[Found]:
        """Give what was found of the plugins that are on."""
        return [
            one for one in self._found if one.plugin is not None and self._plugins.get(one.name) is one.plugin
        ]

    def close(self) -> None:
        """Tell every plugin that was started that the host stops, and let go of them all; idempotent."""
        self.retire(())
        for name in tuple(self._plugins):
            self._manager.unregister(name=name)
        self._plugins.clear()

    def having(self, hook: str) -> tuple[str, ...]:
        """Name the plugins that have a hook, in the order in which they are asked."""
        having = {id(one.plugin) for one in getattr(self._manager.hook, hook).get_hookimpls()}
        return tuple(name for name, plugin in self._plugins.items() if id(plugin) in having) if having else ()

    def _told(self, name: str, hook: str, **arguments: Any) -> None:
        try:
            self._call(name, hook, **arguments)
        except Exception:  # one plugin's fault must not reach the others, nor the host
            logger.exception("the plugin '%s' raised in %s", name, hook)

    def _call(self, name: str, hook: str, **arguments: Any) -> list[Any]:
        """Call a hook of one plugin; an empty list where it has none."""
        plugin = self._plugins[name]
        if not any(one.plugin is plugin for one in getattr(self._manager.hook, hook).get_hookimpls()):
            return []
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        results: list[Any] = self._manager.subset_hook_caller(hook, others)(**arguments)
        return results

    # coming up

    def _note_unimportable(self) -> None:
        for i, one in enumerate(self._found):
            if one.error is not None:
                self._mark(i, one.error)

    def _register(self) -> None:
        loaded = [one for one in self._found if one.plugin is not None]
        asked = sorted(loaded, key=lambda one: (self._place(one.name), one.rank))
        for one in reversed(asked):  # pluggy asks the last one registered first
            self._guarded(one.name, "register", partial(self._plug_in, one))
        self._plugins = dict(reversed(self._plugins.items()))

    def _place(self, name: str) -> int:
        order = self._switches.order
        return order.index(name) if name in order else len(order)

    def _plug_in(self, one: Found) -> None:
        if one.plugin is None:
            return
        if type(one.plugin).__hash__ is None:
            raise PluginError("it is an object that cannot be hashed; give its class eq=False or a __hash__")
        fault = signature_fault(self._manager, one.plugin) or declaration_fault(one.plugin)
        if fault is not None:
            raise PluginError(fault)
        self._manager.register(one.plugin, one.name)
        self._plugins[one.name] = one.plugin
        self._check_hooks(one)
        for caller in self._manager.get_hookcallers(one.plugin) or []:
            for impl in caller.get_hookimpls():
                if impl.plugin is one.plugin:
                    self.calls.implementation(one.name, caller.name, impl)

    def _check_hooks(self, one: Found) -> None:
        callers = self._manager.get_hookcallers(one.plugin) or []
        if not callers:
            raise PluginError("it has no hooks; decorate its functions with @stretto.host.hookimpl")
        known = [name for name in vars(HostSpecs) if not name.startswith("_")]
        for caller in callers:
            if not caller.has_spec():
                raise PluginError(f"there is no hook '{caller.name}'; {did_you_mean(caller.name, known)}")
        self._manager.check_pending()

    def _collect(self) -> None:
        for name in tuple(self._plugins):
            for kind in KINDS:
                self._guarded(name, KINDS[kind].hook, partial(self._take, name, kind))

    def _take(self, name: str, kind: str) -> None:
        for answer in self._call(name, KINDS[kind].hook, host=self._view):
            for spec in _specs(answer, KINDS[kind]):
                through = self._offering.spec(spec, name, kind)
                self._registries[kind].add(through, name, self._clash)

    def _clash(self, what: str, first: str, second: str) -> str:
        owners = " and ".join(f"'{name}' ({self._origin(name)})" for name in (first, second))
        return f"the plugins {owners} both offer the {what}{settling(self._switches, first, second)}"

    def _origin(self, name: str) -> str:
        return next(one.origin for one in self._found if one.name == name and one.plugin is not None)

    def _guarded(self, name: str, hook: str, work: Callable[[], object]) -> None:
        """Do `work` for one plugin; what it raises makes the plugin a broken row."""
        if hook != "register" and name not in self._plugins:
            return
        try:
            work()
        except PluginClashError:
            raise
        except PluginError as error:
            self._break(name, str(error))
        except pluggy.PluginValidationError as error:
            self._break(name, reason(error))
        except Exception as error:  # noqa: BLE001 - any plugin's code; the row says what it raised
            self._break(name, f"{hook} raised {reason(error)}")

    def switch_off(self, name: str, why: str) -> None:
        """Take a plugin that is on off the board, for a reason that its row gives."""
        if name in self._plugins:
            if self._started and name in self.having("host_stopping"):
                self._told(name, "host_stopping", host=self._view)
            self._found = tuple(replace(one, off=why) if one.name == name else one for one in self._found)
            self._remove(name)

    def _break(self, name: str, why: str) -> None:
        index = next(i for i, one in enumerate(self._found) if one.name == name and one.plugin is not None)
        self._mark(index, why)
        self._remove(name)

    def _remove(self, name: str) -> None:
        # another one, since other threads may be going through this
        self._plugins = {other: plugin for other, plugin in self._plugins.items() if other != name}
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)
        for registry in self._registries.values():
            registry.drop(name)

    def _mark(self, index: int, why: str) -> None:
        self._broken[index] = why
        one = self._found[index]
        logger.warning("the plugin '%s' (%s) is broken: %s", one.name, one.origin, why)

    # plugins.toml against what was found

    def _check_names(self) -> None:
        known = tuple(one.name for one in self._found)
        for key in ("disable", "order", "require"):
            for name in getattr(self._switches, key):
                if name not in known:
                    raise ConfigurationError(
                        f"{self._switches.source}: [host] {key} names '{name}', and there is no such plugin; "
                        f"{did_you_mean(name, known)}"
                    )

    def _check_tables(self) -> None:
        loaded = {one.name: one for one in self._found}
        for name in self._switches.tables:
            where = f"{self._switches.source}: [plugins.{name}]"
            if name not in loaded:
                raise ConfigurationError(f"{where} is for no plugin; {did_you_mean(name, tuple(loaded))}")
            plugin = loaded[name].plugin
            if plugin is None or declaration_fault(plugin) or not self._switches.own_table(name):
                continue
            settings = _dataclass_of(plugin, "Settings")
            if settings is None:
                raise ConfigurationError(f"{where} is set, and the plugin '{name}' takes no settings")
            self._switches.plugin_settings(name, settings)

    def _check_required(self) -> None:
        for row in self.rows() if self._switches.require else ():
            if row.name in self._switches.require and row.status != "on" and row.name not in self._plugins:
                raise PluginError(
                    f"{self._switches.source} requires the plugin '{row.name}', which is {row.status}: {row.reason}"
                )


def _dataclass_of(plugin: object, name: str) -> type | None:
    declared = getattr(plugin, name, None)
    return declared if isinstance(declared, type) and is_dataclass(declared) else None


def _specs(answer: object, kind: Kind) -> list[Spec]:
    """Check what a hook gave; raises PluginError saying what it should have given."""
    wanted = kind.spec.__name__
    if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes, Mapping)):
        raise PluginError(f"{kind.hook} must return {wanted}s, not {type(answer).__name__}")
    specs = list(answer)
    for spec in specs:
        if not isinstance(spec, kind.spec):
            raise PluginError(f"{kind.hook} must return {wanted}s, and one is {type(spec).__name__}")
        words = (spec.name, *spec.aliases) if isinstance(spec.aliases, tuple) else (None,)
        if not all(isinstance(word, str) and word.strip() == word != "" for word in words):
            raise PluginError(
                f"{kind.hook} offers the name {spec.name!r}, aliases {spec.aliases!r}: names are strings"
            )
    return specs
