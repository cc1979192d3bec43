"""Which weight files there are, by base name."""

from __future__ import annotations

from ..routing import Call, Data, Reply, Route
from ..weight_names import DEFAULTS, base_names

__all__ = ["ROUTES"]


def list_checkpoints(call: Call) -> Reply:
    """Give the checkpoint files, then the models that plugins ship, then the four that clients know."""
    found = _names(call, "checkpoint")
    return Data(list(dict.fromkeys([*found, *call.services.host.offers("models"), *DEFAULTS])))


def list_lora(call: Call) -> Reply:
    """Give the LoRA files."""
    return Data(_names(call, "lora"))


def list_lycoris(call: Call) -> Reply:
    """Give the LyCORIS files."""
    return Data(_names(call, "lycoris"))


def list_inversions(call: Call) -> Reply:
    """Give the textual inversions."""
    return Data(_names(call, "inversion"))


def _names(call: Call, kind: str) -> list[str]:
    return base_names(call.services.host.library.folders_of(kind))


ROUTES = (
    Route("GET", "/api/checkpoints", list_checkpoints),
    Route("GET", "/api/lora", list_lora),
    Route("GET", "/api/lycoris", list_lycoris),
    # the contract's heading has one, its example the other
    Route("GET", "/api/inversion", list_inversions),
    Route("GET", "/api/inversions", list_inversions),
)
