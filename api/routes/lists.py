"""Which weight files there are, by base name."""

from __future__ import annotations

import os
from pathlib import Path

from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]


def list_checkpoints(call: Call) -> Reply:
    """Give the checkpoint files, then the models that plugins ship."""
    found = _names(call.services.folders.model_folder("checkpoint"))
    shipped = [name for name in call.services.host.offers("models") if name not in found]
    return Data([*found, *shipped])


def list_lora(call: Call) -> Reply:
    """Give the LoRA files."""
    return Data(_names(call.services.folders.model_folder("lora")))


def list_lycoris(call: Call) -> Reply:
    """Give the LyCORIS files."""
    return Data(_names(call.services.folders.model_folder("lycoris")))


def list_inversions(call: Call) -> Reply:
    """Give the textual inversions."""
    return Data(_names(call.services.folders.model_folder("inversion")))


def _names(folder: Path) -> list[str]:
    found = [
        name
        for _, _, files in os.walk(folder, onerror=_raise)
        for name in sorted(files)
        if not name.startswith(".")
    ]
    return list(dict.fromkeys(found))


def _raise(error: OSError) -> None:
    raise error


ROUTES = (
    Route("GET", "/api/checkpoints", list_checkpoints),
    Route("GET", "/api/lora", list_lora),
    Route("GET", "/api/lycoris", list_lycoris),
    # the contract's heading has one, its example the other
    Route("GET", "/api/inversion", list_inversions),
    Route("GET", "/api/inversions", list_inversions),
)
