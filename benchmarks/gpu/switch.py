"""From SD 1.5 to SDXL and back in one server: from disk, from the page cache, and while both are on the GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from stretto.host import Precision
from stretto.host.testing.full_size import SIZES_PX

from ..server import Server, running
from .stored import observing, settled, stored
from .targets import Figure

__all__ = ["switch"]

ROUNDS = 5


def switch(folder: Path, options: Any) -> Iterator[tuple[dict[str, str], list[Figure]]]:
    """Give a row for a model: seconds of its load cold and cached, milliseconds more after the other one."""
    data_dir, precision = folder / "data", Precision(options.precision)
    models = data_dir / "models" / "diffusers"
    models.mkdir(parents=True, exist_ok=True)
    for kind in SIZES_PX:
        stored(kind, models / kind, options.device, precision, tiny=options.tiny)
    switches, file = observing(data_dir)
    loads = []
    settings = {"precision": str(precision), "cache_mode": "always"}
    for cold in (True, False):
        if cold:
            _forget(models)
        with running(data_dir, settings, switches) as server:
            loads.append({kind: _loaded_s(server, file, kind) for kind in SIZES_PX})
            more = {} if cold else _resident_ms(server, file)
    for kind in SIZES_PX:
        row = {
            "model": kind,
            "load cold s": f"{loads[0][kind]:.2f}",
            "load from the page cache s": f"{loads[1][kind]:.2f}",
            "switch while resident ms": f"{more[kind]:.1f}",
        }
        yield row, [Figure(name="resident", value=more[kind], by=kind)]


def _forget(models: Path) -> None:
    """Have the kernel drop the files' pages, once they are on the disk."""
    os.sync()
    for file in models.rglob("*.safetensors"):
        opened = os.open(file, os.O_RDONLY)
        os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(opened)


def _drawn(server: Server, file: Path, kind: str) -> list[Mapping[str, Any]]:
    """Draw one small step; gives the events of it."""
    uuid = server.invoke(
        {
            "model": kind, "prompt": "x", "width": 64, "height": 64, "num_inference_steps": 1,
            "scheduler": "ddim", "chunking_size": 0, "intermediates": False,
        },
        poll_s=0.01,
    )["uuid"]  # fmt: skip
    return settled(file, [uuid])


def _loaded_s(server: Server, file: Path, kind: str) -> float:
    loads = [event["seconds"] for event in _drawn(server, file, kind) if event["kind"] == "ModelLoaded"]
    return float(sum(loads))


def _resident_ms(server: Server, file: Path) -> dict[str, float]:
    """Give how much longer a job takes after one of the other model than after one of its own, both being there."""

    def ms(kind: str) -> float:
        at = {event["kind"]: event["at"] for event in _drawn(server, file, kind)}
        return float(1000 * (at["Finished"] - at["Started"]))

    own: dict[str, list[float]] = {kind: [] for kind in SIZES_PX}
    after: dict[str, list[float]] = {kind: [] for kind in SIZES_PX}
    for _ in range(ROUNDS):
        for kind in SIZES_PX:
            after[kind].append(ms(kind))
            own[kind].append(ms(kind))
    return {kind: median(after[kind]) - median(own[kind]) for kind in SIZES_PX}
