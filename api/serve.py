"""The server from its first to its last moment: lock, database, host, listening, a graceful end."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from stretto.host.errors import ConfigurationError
from stretto.host.settings import Folders, Settings

from .postgres import PostgresServer, held_alone
from .warmth import warm_up
from .wire import Address, bind, finish, listen, serve_until

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

    from .entities import Records

__all__ = ["Terms", "is_loopback", "serve"]

_log = logging.getLogger(__name__)

LOCK_NAME = "stretto.lock"
FIRST_VARIABLE = "STRETTO_ADMIN_PASSWORD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a server is to run; `auth` None leaves the setting as it is.

    Without a database `server`, records are in a file in the data directory.
    """

    plugins_file: Path | None = None
    threads: int = 8
    auth: bool | None = None
    allow_remote: bool = False
    server: PostgresServer | None = None
    engine_dir: Path | None = None


def serve(
    address: Address, data_dir: Path, terms: Terms | None = None, tell: Callable[[str], None] = print
) -> None:
    """Serve the JSON API until SIGINT or SIGTERM; `tell` gets the URL's line once it listens.

    Raises ConfigurationError when the data directory is in use, the address cannot be bound, or it
    can be reached from elsewhere without authentication and `terms.allow_remote` is false.
    """
    terms = terms or Terms()
    with ExitStack() as stack:
        stack.enter_context(_locked(data_dir))
        folders = Folders(data_dir.resolve(), terms.engine_dir)
        records, settings = _kept(stack, folders, terms)
        open_to_all = terms.allow_remote or is_loopback(address.host)
        if not open_to_all and not settings.auth:
            raise _unguarded(address.host)
        bound = stack.enter_context(_bound(address))
        host = _opened(stack, folders, records, settings, terms)
        server = _listening(stack, host, records, bound, terms.threads, guarded=not open_to_all)
        stopped = stack.enter_context(_stopped_by_signals(server))
        port = bound.getsockname()[1]
        name = f"[{address.host}]" if ":" in address.host else address.host
        kept = f"data in {data_dir}" + (f", records in {terms.server}" if terms.server else "")
        tell(f"Stretto listens on http://{name}:{port} ({kept}); stop it with Ctrl-C")
        _tell_first_password(records, tell)
        warm_up()
        serve_until(server, stopped)
        _log.info("stopping")


def is_loopback(host: str) -> bool:
    """Say whether an address, or the name localhost, is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unguarded(host: str) -> ConfigurationError:
    return ConfigurationError(
        f"the address {host} can be reached from other machines, and without authentication everyone there "
        "could use this host; say --auth to ask for tokens, listen on 127.0.0.1, or say "
        "--allow-remote-without-auth"
    )


def _kept(stack: ExitStack, folders: Folders, terms: Terms) -> tuple[Records, Settings]:
    from .entities import open_database, torn_said
    from .settings_store import SettingsStore
    from .store import PonyJobStore, database_file

    place = terms.server or database_file(folders.root)
    if terms.server is not None:
        stack.enter_context(held_alone(terms.server))
    records = open_database(place)
    stack.callback(records.close)
    with torn_said(place):
        settings = SettingsStore(records).load()
        PonyJobStore(records).waiting()
        if terms.auth is not None and terms.auth != settings.auth:
            settings = SettingsStore(records).change({"auth": terms.auth})
    return records, settings


def _opened(stack: ExitStack, folders: Folders, records: Records, settings: Settings, terms: Terms) -> Host:
    from stretto.host.runtime.host import Host

    from .store import PonyJobStore

    store = PonyJobStore(records)
    host = Host.open(folders, settings, plugins_file=terms.plugins_file, store=store)
    # last in, first out: answers end, then the host, and what it left in the middle waits again
    stack.callback(_release, store)
    stack.callback(host.close)
    return host


def _listening(
    stack: ExitStack, host: Host, records: Records, bound: Any, threads: int, *, guarded: bool
) -> Any:
    from .app import build_app
    from .leftovers import sweeping
    from .log_book import BOOK
    from .store import PonyJobStore

    app = build_app(host, PonyJobStore(records), guarded=guarded, seats=threads // 2)
    server = listen(app, bound, threads=threads, body_limit=lambda: host.settings.max_body_bytes)
    stack.callback(finish, server)
    host.start()
    stack.enter_context(sweeping(host.folders.inputs, records))
    BOOK.attach()
    return server


def _tell_first_password(records: Records, tell: Callable[[str], None]) -> None:
    from .accounts import DEFAULT_USER, first_administrator

    made = first_administrator(records, os.environ.get(FIRST_VARIABLE))
    if made is not None:
        tell(
            f"The first administrator is {DEFAULT_USER}, with the password {made} - it is not shown again; "
            f"`stretto users passwd {DEFAULT_USER}` sets another"
        )


def _release(store: Any) -> None:
    count = store.release()
    if count:
        _log.info("%d unfinished invocations wait for the next start", count)


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    lock = FileLock(data_dir / LOCK_NAME)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigurationError(
            f"the data directory {data_dir} is in use by another server; stop that one, "
            "or name another directory with --data-dir"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"the data directory {data_dir} cannot be used ({error.strerror or error}); "
            "name another one with --data-dir, in which you may write"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _bound(address: Address) -> Iterator[Any]:
    try:
        bound = bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {address.host} port {address.port} ({error.strerror or error}); "
            "choose another with --host or --port (0 takes any free port)"
        ) from error
    with bound:
        yield bound


@contextmanager
def _stopped_by_signals(server: Any) -> Iterator[Callable[[], bool]]:
    caught: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        signal.signal(number, before[signal.Signals(number)])  # a second one does what it always does
        server.pull_trigger()

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
