"""The host as an isolated plugin sees it: settings, folders and its own table; what is offered stays outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from ..contracts.events import Event
from ..contracts.models import WeightFile
from ..contracts.plan import Plan
from ..contracts.request import InvocationRequest
from ..errors import UnsupportedError
from ..plugboard.tables import read_table
from ..settings import Folders, Settings

__all__ = ["IsolatedView"]

T = TypeVar("T")


class IsolatedView:
    """A HostView made of values that were sent; one for each process."""

    def __init__(self, name: str, version: str, settings: Settings, folders: Folders) -> None:
        self.version = version
        self.settings = settings
        self.folders = folders
        self._name = name
        self._table: Mapping[str, Any] = {}
        self._source = "plugins.toml"

    def with_table(self, table: Mapping[str, Any], source: str) -> IsolatedView:
        """Take the plugin's own table of plugins.toml; `source` names it in messages."""
        self._table, self._source = table, source
        return self

    def plugin_settings(self, name: str, into: type[T]) -> T:
        """Read the plugin's own table into its dataclass; another plugin's table is not here."""
        return read_table(self._table if name == self._name else {}, into, self._source)

    def plugin_parameters(self, name: str, into: type[T], asked: InvocationRequest | Plan) -> T:
        """Read what a request or a plan says under `plugins: {NAME: {...}}` into the plugin's own dataclass."""
        return read_table(asked.plugins.get(name, {}), into, f"plugins.{name}")

    def offers(self, _kind: str) -> Mapping[str, Any]:
        """Refuse: specs hold functions of the host's process."""
        self._refuse("offers")

    def offer(self, _kind: str, _name: str) -> Any:
        """Refuse: specs hold functions of the host's process."""
        self._refuse("offer")

    def resolve_model(self, _name: str, *, kinds: Sequence[str] = ()) -> WeightFile:
        """Refuse: the catalog is in the host's process."""
        del kinds
        self._refuse("resolve_model")

    def resolve_vae(self, _name: str) -> WeightFile:
        """Refuse: the catalog is in the host's process."""
        self._refuse("resolve_vae")

    def publish(self, _event: Event) -> None:
        """Refuse: events are told in the host's process."""
        self._refuse("publish")

    def _refuse(self, what: str) -> NoReturn:
        raise UnsupportedError(
            f"the plugin '{self._name}' runs in a process of its own, where host.{what} is not to be had; "
            "install it without --isolated"
        )
