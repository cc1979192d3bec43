"""Engines that differ in nothing but their weights, or in nothing but the sizes that they take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .keys import EngineKey
from .manifest import State
from .store import StoredEngine

__all__ = ["covering", "nearest_kin"]


def nearest_kin(engines: Iterable[StoredEngine], key: EngineKey, architecture: str) -> StoredEngine | None:
    """Give the verified engine that was used or made last of those that are as `key` has it but for the weights.

    `architecture` is what the network is without them, as `About` has it; empty for one that has no kin.
    """
    found = [
        engine
        for engine in engines
        if architecture
        and engine.manifest.model.architecture == architecture
        and engine.state is State.VERIFIED
        and engine.key != key
        and replace(engine.key, graph=key.graph) == key
    ]
    return max(found, key=lambda engine: engine.manifest.idle_since, default=None)


def covering(engines: Iterable[StoredEngine], key: EngineKey) -> StoredEngine | None:
    """Give the engine that was used or made last of those that can serve and take what `key` is tuned for."""
    found = [
        one for one in engines if one.state in (State.VERIFIED, State.UNVERIFIED) and one.key.covers(key)
    ]
    return max(found, key=lambda engine: engine.manifest.idle_since, default=None)
