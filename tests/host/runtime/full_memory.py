"""Draws in a process whose memory is really full, and prints as JSON what came of it; run by test_ladder.py.

A process of its own, whose allocations come from the system each by itself (MALLOC_MMAP_THRESHOLD_), so that
none is served from what its heap still holds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from resource import RLIMIT_DATA, getrlimit, setrlimit
from typing import Any

import numpy as np
from PIL import Image
from stretto.host.contracts.events import StepEased
from stretto.host.contracts.request import InvocationRequest
from stretto.host.errors import OutOfMemoryError
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

MB = 2**20
PLAIN = {"prompt": "a red circle", "model": "one", "size": 64, "seed": 1, "scheduler": "ddim"}
PLAIN |= {"guidance_scale": 1.0, "num_inference_steps": 1, "chunking_size": 64}
# the VAE needs 185 MB for all of it and 45 MB in tiles, the UNet 35 MB: it sees windows of 64 px
LARGE = {"width": 512, "height": 512}
# the UNet needs 105 MB for 80 rows at once, the VAE and all pictures 45 MB
MANY = {"width": 128, "height": 128, "size": 128, "samples": 40, "guidance_scale": 2.0, "chunking_size": 0}


def taken_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmData")).split()[1]) * 1024


@contextmanager
def room(room_bytes: int | None) -> Iterator[None]:
    if room_bytes is None:
        yield
        return
    soft, hard = getrlimit(RLIMIT_DATA)
    setrlimit(RLIMIT_DATA, (taken_bytes() + room_bytes, hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_DATA, (soft, hard))


def main(root: Path) -> dict[str, Any]:
    told: list[Any] = []
    with Host.open(Folders(root), Settings(precision="float32", pool_budget_bytes=2**40)) as host:

        def draw(room_bytes: int | None = None, **request: Any) -> Any:
            plan = host.plan(InvocationRequest(**{**PLAIN, "intermediates": False, **request}))
            told.clear()
            with room(room_bytes):
                done = host.run_here(plan, told.append)
            images = [np.asarray(Image.open(root / "images" / name)) for name in done.images]
            return replace(done, images=()), np.stack(images)

        draw(model="two")  # stays behind, idle
        draw()
        bound, _ = getrlimit(RLIMIT_DATA)
        tight, tiles = draw(130 * MB, **LARGE)
        rungs = [event.rung for event in told if isinstance(event, StepEased)]
        _, whole = draw(**LARGE)
        many, rows = draw(58 * MB, **MANY)
        _, together = draw(**MANY)
        try:
            draw(8 * MB, **MANY)  # with half of it the job may not even come to its first step
            refusal = ""
        except OutOfMemoryError as error:
            refusal = str(error)
        last, _ = draw()
    return {
        "bound": bound,
        "tiles": {"notes": tight.notes, "rungs": rungs, **difference(tiles, whole)},
        "rows": {"notes": many.notes, **difference(rows, together)},
        "refusal": refusal,
        "after": last.notes,
    }


def difference(one: Any, other: Any) -> dict[str, float]:
    apart = np.abs(one.astype(np.int16) - other)
    return {"most": int(apart.max()), "mean": float(apart.mean())}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
