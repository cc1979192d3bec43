"""What a route is: a method, a path, and a function from a call to a reply. Knows nothing of Bottle."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stretto.host.errors import BadRequestError
from stretto.host.settings import Folders

from .access import ANY_USER, Access, User
from .auth import Auth
from .downloads import Downloads
from .event_log import EventLog
from .fields import refuse_half_characters
from .gauges import Watched, watch
from .history import start_mark
from .idempotency import Promises
from .settings_store import SettingsStore
from .store import PonyJobStore
from .streams import Streams
from .telemetry import Telemetry
from .waiting import WaitingRoom

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = [
    "Call",
    "Data",
    "FileReply",
    "Handler",
    "JsonReply",
    "RawReply",
    "Reply",
    "Route",
    "Services",
    "StreamReply",
    "json_object",
    "services_of",
]

YEAR_S = 31536000


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What handlers work with; made once for a server."""

    host: Host
    store: PonyJobStore
    settings: SettingsStore
    auth: Auth
    downloads: Downloads
    # whether other machines can reach this server, without leave to do so unless they log in
    guarded: bool = False
    started: float = field(default_factory=time.monotonic)
    waiting: WaitingRoom
    promises: Promises
    events: EventLog
    streams: Streams
    telemetry: Telemetry
    # invocations with a greater id are this server's
    before: int

    @property
    def folders(self) -> Folders:
        """Give the data directory's folders."""
        return self.host.folders


def services_of(host: Host, store: PonyJobStore, *, guarded: bool = False, seats: int = 4) -> Services:
    """Gather what handlers need around a host and its store; `seats` calls may wait for pictures at once."""
    records = store.records
    events = EventLog(records)
    streams, telemetry = Streams(events, records), Telemetry()
    downloads = Downloads(records, host.folders, lambda: host.settings)
    watch(telemetry, Watched(host=host, store=store, streams=streams, downloads=downloads))
    return Services(
        host=host,
        store=store,
        settings=SettingsStore(records),
        auth=Auth(records, lambda: host.settings.auth),
        downloads=downloads,
        guarded=guarded,
        waiting=WaitingRoom(seats),
        promises=Promises(records),
        events=events,
        streams=streams,
        telemetry=telemetry,
        before=start_mark(records),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as handlers see it: `params` is the query string, `names` the path's parts."""

    services: Services
    user: User
    params: Mapping[str, list[str]]
    names: Mapping[str, str]
    read: Callable[[], bytes]
    address: str = ""
    header: Callable[[str], str | None] = lambda _name: None  # by name, such as "Accept"

    def body(self) -> dict[str, object]:
        """Parse the body as `json_object` does, whatever its Content-Type."""
        return json_object(self.read())

    def optional_body(self) -> dict[str, object]:
        """Parse a body that may be left out: what is not meant as JSON is none, as the contract has it."""
        raw = self.read()
        meant = "json" in (self.header("Content-Type") or "").lower() or raw.lstrip()[:1] in (b"{", b"[")
        return json_object(raw) if meant else {}


def json_object(raw: bytes) -> dict[str, object]:
    """Parse a body; an empty one is {}.

    Raises BadRequestError for anything but a JSON object, InvalidRequestError for half characters.
    """
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw, parse_constant=_no_constant)
        if isinstance(value, dict):
            refuse_half_characters(value)
    except RecursionError as error:
        raise BadRequestError("The body nests too deep to be read; send a flat JSON object") from error
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, and integers of thousands of digits
        raise BadRequestError(f"The body is not JSON ({error}); send a JSON object") from error
    if not isinstance(value, dict):
        raise BadRequestError(
            f'The body is a JSON {type(value).__name__}; send an object, such as {{"prompt": "..."}}'
        )
    return value


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is no JSON")


@dataclass(frozen=True, slots=True)
class Data:
    """A value for `data`; `in_meta` says it in `meta` too, where some of the contract's examples have it."""

    value: object
    count: int | None = None
    in_meta: bool = False
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class JsonReply:
    """JSON for `data`, as text or in UTF-8, sent as it stands."""

    text: str | bytes
    count: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReply:
    """A file, shown inline; `max_age_s` None lets clients decide."""

    path: Path
    media_type: str
    max_age_s: int | None = YEAR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RawReply:
    """Bytes without an envelope."""

    body: bytes
    media_type: str
    max_age_s: int | None = YEAR_S


@dataclass(frozen=True, slots=True)
class StreamReply:
    """Bytes that come in time, from an iterable with `close`; nothing on the way is to keep them."""

    chunks: Iterable[bytes]
    media_type: str


Reply = Data | JsonReply | FileReply | RawReply | StreamReply
Handler = Callable[[Call], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path (`<name>` is a part without slashes, `<name:path>` takes them too)."""

    method: str
    path: str
    handle: Handler
    needs: Access = ANY_USER
    max_body_bytes: int | None = None
    # whether what is sent as Authorization lets somebody in who is no user of `needs`
    admits: Callable[[str], bool] = lambda _sent: False
