"""Parameters of plugins that a stored model keeps: checked when they are stored, and put under what a request says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stretto.host.errors import Fault

from .plugin_parameters import PREFIX, by_plugin, read_parameters

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["Kept", "read_kept"]


def read_kept(value: object, host: Host) -> tuple[dict[str, dict[str, Any]], list[Fault]]:
    """Check `plugins: {NAME: {...}}` as an invocation's; give what it says, without defaults, and every fault.

    What is null, or names no parameter, is left out.
    """
    given, faults = by_plugin(value)
    if given:
        host.look()
    read, more = read_parameters(given, host.board)
    said = {name: _said(given[name]) for name in read}
    kept = {name: {key: read[name][key] for key in keys} for name, keys in said.items() if keys}
    return kept, [*faults, *more]


def _said(values: object) -> list[str]:
    return [key for key, value in values.items() if value is not None] if isinstance(values, Mapping) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the stored model `model` says of plugins, by plugin and by parameter; nothing, where none was named."""

    model: str = ""
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def under(self, asked: Mapping[str, object]) -> dict[str, Any]:
        """Give what a request asks for, and where it says nothing of a parameter, or null, what is kept."""
        merged: dict[str, Any] = dict(asked)
        for name, values in self.plugins.items():
            said = asked.get(name, {})
            if isinstance(said, Mapping):
                merged[name] = {**values, **{key: said[key] for key in _said(said)}}
        return merged

    def given(self, asked: Mapping[str, object]) -> Iterator[str]:
        """Name the parameters that a request has from here, as `plugins.NAME.KEY`."""
        for name, values in self.plugins.items():
            if isinstance(said := asked.get(name, {}), Mapping):
                yield from (f"{PREFIX}{name}.{key}" for key in values if key not in _said(said))

    def blamed(self, fault: Fault, asked: Mapping[str, object]) -> Fault:
        """Give a fault of the merged parameters; one of what is kept is told as the model's, by its name."""
        given = tuple(self.given(asked))
        if any(fault.field == where or fault.field.startswith((f"{where}.", f"{where}[")) for where in given):
            message = f"the stored model '{self.model}' keeps {fault.field}, and that {fault.message}"
            return Fault(field="model", message=f"{message}; change the model, or send another value")
        name = fault.field.removeprefix(PREFIX)
        if name not in self.plugins or not any(where.startswith(f"{fault.field}.") for where in given):
            return fault
        if name in asked:
            kept = ", ".join(
                where.rpartition(".")[2] for where in given if where.startswith(f"{fault.field}.")
            )
            return Fault(
                field=fault.field, message=f"{fault.message}; the stored model '{self.model}' gave {kept}"
            )
        message = (
            f"the stored model '{self.model}' keeps parameters of the plugin '{name}', which {fault.message}"
        )
        return Fault(field="model", message=f"{message}; change that, or take them out of the model")
