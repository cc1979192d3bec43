"""The rows of `stretto doctor` about memory and about what is withheld."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from stretto.host.errors import StrettoError
from stretto.host.settings import Settings

from .checks import Row

if TYPE_CHECKING:
    from .options import Place

__all__ = ["memory_rows"]

GIB = 2**30


def memory_rows(place: Place) -> list[Row]:
    """Say how models share the device, and whether pictures can be checked."""
    try:
        settings = place.settings(upgrade=False)
    except StrettoError:  # the database has a row of its own
        settings = Settings()
    try:
        memory = _memory(settings)
    except (ImportError, OSError) as error:  # torch has a row of its own
        fix = "mend torch first, see its row"
        memory = Row(name="memory", status="broken", found=f"not known without torch: {error}", fix=fix)
    return [memory, _safety(place, settings)]


def _memory(settings: Settings) -> Row:
    from stretto.host.engine.device import pick_device
    from stretto.host.runtime.limits import usable_ram_bytes
    from stretto.host.runtime.machine import pool_budget_bytes

    device = pick_device(None)
    budget = settings.pool_budget_bytes
    models = pool_budget_bytes(device) if budget is None else budget
    bound = settings.memory_limit_bytes or (usable_ram_bytes() if device == "cpu" else None)
    mode = f"switch_mode {settings.switch_mode or 'null'}"
    if settings.switch_mode == "offload" and device == "cpu":
        mode += " (moves nothing: models are in RAM)"
    found = f"{mode}; models may take {models / GIB:.1f} GB of {device}"
    if bound is not None:
        found += f", the process {bound / GIB:.1f} GB"
    return Row(name="memory", status="ok", found=f"{found}; cache_mode {settings.cache_mode or 'null'}")


def _safety(place: Place, settings: Settings) -> Row:
    from stretto.host.planning.safety import fetching, find_checker

    found = find_checker(place.folders)
    said = f"safe is {'on' if settings.safe else 'off'}"
    if found is None:
        fix = f"mkdir -p {shlex.quote(str(place.folders.models))}; {fetching(place.folders)}"
        return Row(
            name="safety checker", status="absent", found=f"no weights; {said}", fix=fix, needed=settings.safe
        )
    return Row(name="safety checker", status="ok", found=f"{found.path}; {said}", needed=settings.safe)
