"""What an administrator asks of a plugin over HTTP, read into a change of plugins.toml that a running host goes by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stretto.host.errors import (
    BadRequestError,
    ConfigurationError,
    Fault,
    InvalidRequestError,
    PluginError,
    StateConflictError,
    did_you_mean,
)

if TYPE_CHECKING:
    from stretto.host.plugboard.switches import Switches
    from stretto.host.runtime.host import Host

__all__ = ["change_plugin"]

FIELDS = ("enabled", "settings", "order")


def change_plugin(host: Host, name: str, body: Mapping[str, object]) -> None:
    """Change plugins.toml and go by it at once.

    Raises NotFoundError for an unknown plugin, InvalidRequestError with every fault of the body, StateConflictError
    for what cannot be, with the plugins and their file as they were.
    """
    from stretto.host.plugboard.alterations import Alteration
    from stretto.host.plugboard.guard import enabling
    from stretto.host.runtime.switching import check_on, find, refuse, refused_clash

    host.look()
    switches = host.fittings.switches
    faults = list(_faults(body))
    if faults:
        raise InvalidRequestError(faults)
    enabled, settings = body.get("enabled"), body.get("settings")
    alteration = Alteration(
        enable=[name] if enabled is True else [],
        disable=[name] if enabled is False else [],
        order=_order(switches, name, body["order"]) if "order" in body else None,
        settings={name: settings} if isinstance(settings, dict) and settings else {},
    )

    def now(then: Switches) -> Alteration:
        # another call may have changed the order meanwhile
        return replace(alteration, order=_order(then, name, body["order"])) if "order" in body else alteration

    refuse(alteration, switches, find(host.folders, switches))
    host.board.found(name)
    try:
        with enabling(host.folders.root, alteration.enable), refused_clash():
            host.reloading.change(now, lambda board: check_on(board, alteration.enable))
    except ConfigurationError as error:
        if alteration.settings:
            raise InvalidRequestError([Fault(field="settings", message=str(error))]) from error
        raise BadRequestError(str(error)) from error
    except PluginError as error:
        raise StateConflictError(str(error)) from error


def _order(switches: Switches, name: str, place: Any) -> list[str]:
    names = [other for other in switches.order if other != name]
    if place is not None:
        names.insert(place, name)
    return names


def _faults(body: Mapping[str, object]) -> Iterator[Fault]:
    for key, value in body.items():
        if key not in FIELDS:
            yield Fault(field=key, message=f"is not known; {did_you_mean(key, FIELDS)}")
        elif key == "enabled" and not isinstance(value, bool):
            yield Fault(field=key, message=f"must be true or false, not {value!r}")
        elif key == "order" and not (value is None or (type(value) is int and value >= 0)):
            yield Fault(field=key, message=f"must be a whole number from 0, or null, not {value!r}")
        elif key == "settings":
            yield from _misset(value)


def _misset(settings: object) -> Iterator[Fault]:
    if not isinstance(settings, dict):
        yield Fault(field="settings", message=f"must be an object, not {settings!r}")
        return
    for key, value in settings.items():
        yield from _misset_value(f"settings.{key}", value)


def _misset_value(where: str, value: object) -> Iterator[Fault]:
    """Find what TOML has not; null, which takes a key out, is for what has a key."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _misset_value(f"{where}.{key}", inner)
    elif isinstance(value, list):
        for i, entry in enumerate(value):
            if entry is None:
                yield Fault(field=f"{where}[{i}]", message="must not be null within a list")
            else:
                yield from _misset_value(f"{where}[{i}]", entry)
