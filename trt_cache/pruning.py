"""Which engines can go: those of weights that are gone, those long unused, and the longest unused of too many."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from .manifest import Manifest

if TYPE_CHECKING:
    from .store import StoredEngine

__all__ = ["prunable"]


def prunable(
    engines: tuple[StoredEngine, ...],
    older_than_s: float | None,
    max_bytes: int | None,
    orphaned: Callable[[Manifest], bool] | None,
) -> dict[str, str]:
    """Give the digests of the engines to remove, each with the reason, the longest unused first.

    `older_than_s` counts from the last use, or from the making of one that was never used. `max_bytes` is what
    the others may take together.
    """
    by_use = sorted(engines, key=lambda engine: engine.manifest.idle_since)
    going: dict[str, str] = {}
    for engine in by_use:
        if orphaned is not None and orphaned(engine.manifest):
            going[engine.digest] = "its weights are gone or changed"
        elif older_than_s is not None and _idle(engine.manifest) > timedelta(seconds=older_than_s):
            going[engine.digest] = f"unused for {_idle(engine.manifest).days} days"
    if max_bytes is not None:
        staying = [engine for engine in by_use if engine.digest not in going]
        total = sum(engine.manifest.size_bytes for engine in staying)
        for engine in staying:
            if total <= max_bytes:
                break
            going[engine.digest] = f"all together took more than {max_bytes} bytes"
            total -= engine.manifest.size_bytes
    return going


def _idle(manifest: Manifest) -> timedelta:
    return datetime.now(UTC) - manifest.idle_since
