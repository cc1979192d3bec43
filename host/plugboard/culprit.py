"""Whose fault an exception is: a plugin's, the host's own, the memory's, or of somebody who pressed Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from types import TracebackType

from ..errors import PluginError, StrettoError
from ..hookspecs import PROJECT

__all__ = ["Roots", "accused", "is_innocent", "nearest", "reason", "roots_of"]

_HOST = (f"{PROJECT}.host.", f"{PROJECT}.api.")
# Where the host calls plugins: frames of these are on the way into one.
_DOORS = (f"{PROJECT}.host.plugboard.", f"{PROJECT}.host.isolation.")
_CHARGED = "_stretto_charged"  # on a PluginError whose plugin was charged already
# The CPU allocator, MPS and oneDNN raise plain RuntimeErrors (host/engine/device.py makes them ours).
_NO_ROOM = ("DefaultCPUAllocator", "out of memory", "could not create a primitive")
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
    culprit, trace = called, error.__traceback__
    while trace is not None:
        module = _module(trace)
        owners = _owners(module, roots)
        if owners:  # of those that share a package, the one that was called
            culprit = culprit if culprit in owners else min(owners)
        elif module.startswith(_HOST) and not module.startswith(_DOORS):
            culprit = called
        trace = trace.tb_next
    return culprit


def is_innocent(error: BaseException) -> bool:
    """Say that an exception is nobody's failure: one of ours, of a full memory, or of who stopped the program."""
    if isinstance(error, PluginError):
        return getattr(error, _CHARGED, False)
    if isinstance(error, (StrettoError, MemoryError, GeneratorExit)) or _is_interrupt(error):
        return True
    if type(error).__name__ == "OutOfMemoryError":  # torch's own, which is not imported to look
        return True
    return isinstance(error, RuntimeError) and any(words in reason(error) for words in _NO_ROOM)


def accused(plugin: str, doing: str, error: BaseException) -> PluginError:
    """Give the error that a plugin is charged with; one that says so already is given as it is."""
    charged = error if isinstance(error, PluginError) else None
    if charged is None:
        charged = PluginError(f"the plugin '{plugin}' raised in {doing}: {reason(error)}")
    setattr(charged, _CHARGED, True)
    return charged


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
