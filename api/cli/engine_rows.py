"""What `stretto doctor` says of the folder of compiled engines."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

from stretto.trt_cache.store import EngineStore, State

from .checks import Row

if TYPE_CHECKING:
    from .options import Place

__all__ = ["engines_row"]


def engines_row(place: Place) -> Row:
    """Count the engines and their bytes; damaged and unreadable ones are what is wrong."""
    store = EngineStore(place.folders.engines)
    try:
        engines, unreadable = store.all(), [one for one in store.unreadable() if not one.newer]
    except OSError as error:
        fix = "name another place with --engine-dir"
        return Row(name="engines", status="broken", found=f"{store.root}: {error.strerror or error}", fix=fix)
    states = Counter(engine.state.value for engine in engines)
    states["unreadable"] = len(unreadable)
    held = ", ".join(f"{count} {state}" for state, count in sorted(states.items()) if count)
    size_bytes = sum(engine.manifest.size_bytes for engine in engines)
    found = f"{store.root}: {f'{held}, {size_bytes / 10**6:.1f} MB' if held else 'empty'}"
    bad = [engine.digest for engine in engines if engine.state is State.DAMAGED]
    bad += [one.digest for one in unreadable]
    if not bad:
        return Row(name="engines", status="ok", found=found)
    where = shlex.quote(str(store.root))
    fix = f"stretto engines remove --engine-dir {where} {' '.join(digest[:12] for digest in bad)}"
    return Row(name="engines", status="broken", found=found, fix=fix)
