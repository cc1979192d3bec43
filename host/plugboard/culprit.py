"""Whose fault an exception is: a plugin's, the host's own, the memory's, or of somebody who pressed Ctrl-C."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Mapping
from types import TracebackType

from ..errors import (
    AuthenticationError,
    BadRequestError,
    CancelledError,
    ForbiddenError,
    KeyReusedError,
    NotFoundError,
    OutOfMemoryError,
    PayloadTooLargeError,
    PluginError,
    StateConflictError,
    StrettoError,
    TooManyRequestsError,
    UnavailableError,
    UnsupportedError,
    UpstreamError,
    WeightsError,
)
from ..hookspecs import PROJECT

__all__ = ["Roots", "accused", "is_innocent", "is_of_others", "nearest", "reason", "roots_of"]

_HOST = (f"{PROJECT}.host.", f"{PROJECT}.api.")
# Where the host calls plugins: frames of these are on the way into one.
_DOORS = (f"{PROJECT}.host.plugboard.", f"{PROJECT}.host.isolation.")
_PLUGINS = f"{PROJECT}.plugins."  # the built-in ones, whose errors of our tree are the host's own
_CHARGED = "_stretto_charged"  # on an error whose plugin was charged already
# Answers to what somebody asked, and what is dealt with where the job is.
_ANSWERS = (
    AuthenticationError,
    BadRequestError,
    CancelledError,
    ForbiddenError,
    KeyReusedError,
    NotFoundError,
    OutOfMemoryError,
    PayloadTooLargeError,
    StateConflictError,
    TooManyRequestsError,
    UnavailableError,
    UnsupportedError,
)
# Failures of what a plugin works with: a file of weights, another server.
_OTHERS = tuple(f"{kind.__name__}:" for kind in (WeightsError, UpstreamError))
# The CPU allocator, MPS and oneDNN raise plain RuntimeErrors (host/engine/device.py makes them ours).
_NO_ROOM = ("DefaultCPUAllocator", "out of memory", "could not create a primitive")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
Roots = Mapping[str, frozenset[str]]  # the plugins by the modules and packages that are theirs


def reason(error: BaseException) -> str:
    """Say an exception in one line, also one that cannot say itself."""
    kind = type(error).__name__
    try:
        words = " ".join(str(error).split())
    except BaseException as worse:  # noqa: BLE001 - a plugin's __str__ may do anything
        return f"{kind} (its __str__ raised {type(worse).__name__})"
    return f"{kind}: {words}" if words else kind


def roots_of(plugin: object) -> tuple[str, ...]:
    """Give the module that is a plugin's own, and its outermost package unless that is this project."""
    module = str(getattr(plugin, "__name__", None) or type(plugin).__module__)
    return (module,) if module.startswith(f"{PROJECT}.") else (module, module.partition(".")[0])


def nearest(error: BaseException, roots: Roots, called: str | None = None) -> str | None:
    """Name the plugin whose code is nearest to where `error` was raised, `called` where the host's own is nearer.

    What libraries raise is the fault of whoever called them. `called` is the plugin that was called where the
    traceback begins, whatever its code is called.
    """
    return _walked(error, roots, called, called)


def is_innocent(error: BaseException, roots: Roots, called: str | None = None) -> bool:
    """Say that an exception is nobody's failure, or one that was charged already.

    So are answers to what somebody asked, all of our tree that the host's own code raises or a built-in plugin's,
    a full memory or disk, and who stopped the program. `called` is as `nearest` takes it.
    """
    if getattr(error, _CHARGED, False):
        return True
    if isinstance(error, StrettoError) and not isinstance(error, PluginError):
        guilty = _walked(error, roots, called, None)
        return isinstance(error, _ANSWERS) or guilty is None or _is_built_in(guilty, roots)
    if isinstance(error, (MemoryError, GeneratorExit)) or _is_interrupt(error):
        return True
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return True
    if type(error).__name__ == "OutOfMemoryError":  # torch's own, which is not imported to look
        return True
    return isinstance(error, RuntimeError) and any(words in reason(error) for words in _NO_ROOM)


def is_of_others(failed: str) -> bool:
    """Say of a failure's words that they are of a file of weights or of another server, which may be what is broken."""
    return failed.partition(" raised ")[2].startswith(_OTHERS)


def accused(plugin: str, doing: str, error: BaseException) -> StrettoError:
    """Give the error that a plugin is charged with.

    One of our tree is given as it is, and says the plugin's name from now on; any other becomes a PluginError.
    """
    said = f"the plugin '{plugin}' raised in {doing}: "
    charged = error if isinstance(error, StrettoError) else PluginError(f"{said}{reason(error)}")
    if f"'{plugin}'" not in reason(charged):
        charged.args = (f"{said}{reason(charged)}", *charged.args[1:])
        if f"'{plugin}'" not in reason(charged):  # it has words of its own
            charged = PluginError(*charged.args[:1])
    setattr(charged, _CHARGED, True)
    return charged


def _walked(error: BaseException, roots: Roots, called: str | None, host: str | None) -> str | None:
    """Name the plugin nearest to where `error` was raised: `called` at first, `host` where the host is nearer."""
    culprit, trace = called, error.__traceback__
    while trace is not None:
        module = _module(trace)
        owners = _owners(module, roots)
        if owners:  # of those that share a package, the one that was called
            culprit = called if called in owners else culprit if culprit in owners else min(owners)
        elif module.startswith(_HOST) and not module.startswith(_DOORS):
            culprit = host
        trace = trace.tb_next
    return culprit


def _is_built_in(plugin: str, roots: Roots) -> bool:
    return any(plugin in owners and root.startswith(_PLUGINS) for root, owners in roots.items())


def _module(trace: TracebackType) -> str:
    return str(trace.tb_frame.f_globals.get("__name__", ""))


def _owners(module: str, roots: Roots) -> frozenset[str]:
    while module:
        if module in roots:
            return roots[module]
        module = module.rpartition(".")[0]
    return frozenset()


def _is_interrupt(error: BaseException) -> bool:
    """Tell Ctrl-C, which only the main thread hears, from a KeyboardInterrupt that code raised."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
