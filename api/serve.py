"""The server from its first to its last moment: lock, database, host, listening, a graceful end."""

from __future__ import annotations

import ipaddress
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout
from stretto.host.errors import ConfigurationError
from stretto.host.settings import Folders

from .warmth import warm_up
from .wire import Address, bind, finish, listen, serve_until

__all__ = ["is_loopback", "serve"]

_log = logging.getLogger(__name__)

LOCK_NAME = "stretto.lock"


def serve(
    address: Address,
    data_dir: Path,
    *,
    plugins_file: Path | None = None,
    threads: int = 8,
    allow_remote: bool = False,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve the JSON API until SIGINT or SIGTERM; `tell` gets the URL's line once it listens.

    Raises ConfigurationError when the data directory is in use, the address cannot be bound, or it
    can be reached from elsewhere and `allow_remote` is false.
    """
    if not allow_remote and not is_loopback(address.host):
        raise ConfigurationError(
            f"the address {address.host} can be reached from other machines, and without authentication "
            "everyone there could use this host; listen on 127.0.0.1, or say --allow-remote-without-auth"
        )
    with ExitStack() as stack:
        stack.enter_context(_locked(data_dir))
        bound = stack.enter_context(_bound(address))
        server = _opened(stack, Folders(data_dir.resolve()), plugins_file, bound, threads)
        stopped = stack.enter_context(_stopped_by_signals(server))
        port = bound.getsockname()[1]
        name = f"[{address.host}]" if ":" in address.host else address.host
        tell(f"Stretto listens on http://{name}:{port} (data in {data_dir}); stop it with Ctrl-C")
        warm_up()
        serve_until(server, stopped)
        _log.info("stopping")


def is_loopback(host: str) -> bool:
    """Say whether an address, or the name localhost, is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _opened(stack: ExitStack, folders: Folders, plugins_file: Path | None, bound: Any, threads: int) -> Any:
    from stretto.host.runtime.host import Host

    from .app import build_app
    from .entities import open_database, torn_said
    from .leftovers import sweeping
    from .settings_store import SettingsStore
    from .store import PonyJobStore, database_file

    file = database_file(folders.root)
    records = open_database(file)
    stack.callback(records.close)
    store = PonyJobStore(records)
    with torn_said(file):
        settings = SettingsStore(records).load()
        store.waiting()
    host = Host.open(folders, settings, plugins_file=plugins_file, store=store)
    # last in, first out: answers end, then the host, and what it left in the middle waits again
    stack.callback(_release, store)
    stack.callback(host.close)
    app = build_app(host, store)
    server = listen(app, bound, threads=threads, body_limit=lambda: host.settings.max_body_bytes)
    stack.callback(finish, server)
    host.start()
    stack.enter_context(sweeping(folders.inputs, records))
    return server


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
