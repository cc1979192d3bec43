"""One tree of errors; the message says what, which value, and what would do.

StrettoError                     500
├── BadRequestError              400   the caller's words are wrong
│   └── InvalidRequestError      400   several faults at once, each with its field
├── AuthenticationError          401   no usable credentials
├── ForbiddenError               403   not this caller
├── NotFoundError                404   no such thing
│   └── GoneError                410   it was here, and somebody deleted it
├── StateConflictError           409   it is there already, or not in that state
├── PayloadTooLargeError         413   more bytes than are read
├── KeyReusedError               422   the Idempotency-Key came with another body before
├── TooManyRequestsError         429   the queue is full, or too many tries
├── UnsupportedError             501   a known word that this host cannot do
├── UpstreamError                502   another server cannot be reached, or answers wrongly
├── UnavailableError             503   not now; come again
├── ConfigurationError           500   plugins.toml, settings or folders are wrong
│   └── PluginClashError         500   two plugins offer one name
├── PluginError                  500   a plugin could not be loaded, or raised
└── EngineError                  500   the work itself failed
    ├── WeightsError             500   a weight file cannot be used
    ├── OutOfMemoryError         500   the device has no room
    ├── CancelledError           500   somebody stopped the job
    ├── EngineBuildError         500   a network could not be compiled
    ├── EngineOpenError          500   a compiled engine cannot be used
    └── WorkerDiedError          500   the worker process ended under the job
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from typing import ClassVar

__all__ = [
    "AuthenticationError",
    "BadRequestError",
    "CancelledError",
    "ConfigurationError",
    "EngineBuildError",
    "EngineError",
    "EngineOpenError",
    "Fault",
    "ForbiddenError",
    "GoneError",
    "InvalidRequestError",
    "KeyReusedError",
    "NotFoundError",
    "OutOfMemoryError",
    "PayloadTooLargeError",
    "PluginClashError",
    "PluginError",
    "StateConflictError",
    "StrettoError",
    "TooManyRequestsError",
    "UnavailableError",
    "UnsupportedError",
    "UpstreamError",
    "WeightsError",
    "WorkerDiedError",
    "did_you_mean",
    "meant",
    "no_target",
]

TIES = 16  # of equally near words, more than there ever are


class StrettoError(Exception):
    """The root; `title` and `status` are what the JSON API answers with."""

    title: ClassVar[str] = "StrettoError"
    status: ClassVar[int] = 500


class BadRequestError(StrettoError):
    """The request cannot be understood or is out of range."""

    title = "BadRequestError"
    status = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong with a request; `field` is a path such as `nodes[1].w`."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class InvalidRequestError(BadRequestError):
    """Every fault of one request, in the order of its fields."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type[InvalidRequestError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)


class AuthenticationError(StrettoError):
    """No credentials, or none that are valid."""

    title = "AuthenticationError"
    status = 401


class ForbiddenError(StrettoError):
    """The caller is known and may not do this."""

    title = "PermissionError"
    status = 403


class NotFoundError(StrettoError):
    """There is no such route, record, file or name."""

    title = "NotFoundError"
    status = 404


class GoneError(NotFoundError):
    """There was such a thing, and it was deleted."""

    title = "GoneError"
    status = 410


class StateConflictError(StrettoError):
    """The thing exists already, or is not in the state that this needs."""

    title = "StateConflictError"
    status = 409


class PayloadTooLargeError(StrettoError):
    """The body has more bytes than the server reads."""

    title = "PayloadTooLargeError"
    status = 413


class KeyReusedError(StrettoError):
    """The Idempotency-Key was used before, with another body."""

    title = "KeyReusedError"
    status = 422


class TooManyRequestsError(StrettoError):
    """The queue is full, or somebody tried too often; `retry_after_s` says when to come again."""

    title = "TooManyRequestsError"
    status = 429

    def __init__(self, message: str, *, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnavailableError(StrettoError):
    """The server cannot do this at the moment; `retry_after_s` says when to come again."""

    title = "UnavailableError"
    status = 503

    def __init__(self, message: str, *, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnsupportedError(StrettoError):
    """A word of the contract that this host, or this model, cannot do."""

    title = "NotImplementedError"
    status = 501


class UpstreamError(StrettoError):
    """Another server cannot be reached, or answers wrongly; `again` says whether a second try may help."""

    title = "BadGatewayError"
    status = 502

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


class ConfigurationError(StrettoError):
    """plugins.toml, the settings or the folders are wrong; names file, key and value."""

    title = "ConfigurationError"


class PluginClashError(ConfigurationError):
    """Two plugins offer one name; names both."""

    title = "PluginClashError"


class PluginError(StrettoError):
    """A plugin could not be loaded or raised; names the plugin."""

    title = "PluginError"


class EngineError(StrettoError):
    """The work of a job failed."""

    title = "EngineError"


class WeightsError(EngineError):
    """A weight file is missing, corrupt, unsafe or of another family; names the file."""

    title = "WeightsError"


class OutOfMemoryError(EngineError):
    """The device has no room for the work; says what was tried."""

    title = "OutOfMemoryError"


class CancelledError(EngineError):
    """The job was stopped; the message is the one that pollers see."""

    title = "CancelledError"


class EngineBuildError(EngineError):
    """A network could not be exported or compiled; the cache of engines is as before."""

    title = "EngineBuildError"


class EngineOpenError(EngineError):
    """A compiled engine cannot be opened or does not run; torch does its work instead."""

    title = "EngineOpenError"


class WorkerDiedError(EngineError):
    """The worker process ended while it had the job."""

    title = "WorkerDiedError"


_COMPUTE = re.compile(r"sm(\d{2,3})")  # a GPU's compute capability


def did_you_mean(word: str, known: Sequence[str], aliases: Sequence[str] = ()) -> str:
    """End a sentence about an unknown `word`: the nearest known one or alias, or all but the aliases."""
    near = get_close_matches(word, [*known, *aliases], n=TIES, cutoff=0.6)
    if near:
        # of equals the one of the same letters: what was mistyped is most often two of them in the wrong order
        letters = sorted(word)
        first = max(near, key=lambda one: (SequenceMatcher(None, one, word).ratio(), sorted(one) == letters))
        return f"did you mean '{first}'?"
    return f"known: {', '.join(sorted(known)) or 'none'}"


def meant(message: str) -> str | None:
    """Give the word that a message made with `did_you_mean` ends with, or None."""
    found = re.search(r"did you mean '(.+)'\?$", message)
    return found[1] if found else None


def no_target(compiler: str, target: str, known: Sequence[str]) -> str:
    """Say that a compiler builds for no such GPU; one older than all that it knows is called that."""
    said = f"'{compiler}' does not build for '{target}'; "
    numbers = {int(found[1]): one for one in known if (found := _COMPUTE.fullmatch(one))}
    asked = _COMPUTE.fullmatch(target)
    if asked and numbers and int(asked[1]) < min(numbers):
        return f"{said}the GPU is too old; the oldest that works is {numbers[min(numbers)]}"
    return said + did_you_mean(target, known)
