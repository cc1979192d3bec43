"""What supervisors and balancers ask: whether the process lives, and whether it takes work."""

from __future__ import annotations

from stretto.host.errors import UnavailableError

from ..access import ANYBODY
from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]


def show_health(call: Call) -> Reply:
    """Say that the server answers."""
    del call
    return Data({"status": "ok"})


def show_readiness(call: Call) -> Reply:
    """Say that invocations are taken and run: the database answers, and the queue is at work; or else 503."""
    services = call.services
    waiting = services.store.waiting()
    if not services.host.running:
        raise UnavailableError("The queue does not run (yet, or any more); ask again in a moment")
    return Data({"status": "ready", "queued": waiting})


ROUTES = (
    Route("GET", "/healthz", show_health, ANYBODY),
    Route("GET", "/readyz", show_readiness, ANYBODY),
)
