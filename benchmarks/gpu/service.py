"""Our own server on a random full-size model: latency and pictures a second with jobs waiting, and what HTTP adds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from stretto.host import Precision
from stretto.host.engine.device import dtype_of

from ..answering import percentile
from ..server import Server, running
from .stored import observing, settled, stored
from .targets import Figure

__all__ = ["in_process", "service"]

QUEUED = (1, 4, 16, 64)
PROMPT = "a red circle on a blue background"
WORKING = ("StepStarted", "StepProgress")
POLL_S = 0.01
TIMEOUT_S = 500.0
Job = Mapping[str, Any]


def service(
    kind: str, folder: Path, options: Any, size_px: int, steps: int
) -> tuple[dict[str, str], list[Figure]]:
    """Give one row of figures, and those that targets are set for."""
    precision = Precision(options.precision)
    models = folder / "data" / "models" / "diffusers"
    models.mkdir(parents=True, exist_ok=True)
    model = stored(kind, models / kind, options.device, precision, tiny=options.tiny)
    bare_s = in_process(model, options.device, precision, size_px, steps)
    switches, file = observing(folder / "data")
    job = {
        "model": kind, "prompt": PROMPT, "width": size_px, "height": size_px, "num_inference_steps": steps,
        "guidance_scale": 7.0, "scheduler": "ddim", "chunking_size": 0, "intermediates": False,
    }  # fmt: skip
    began = time.perf_counter()
    row = {"model": kind, "in-process s/img": f"{bare_s:.3f}"}
    with running(
        folder / "data",
        {"precision": str(precision), "max_queued_invocations": 1000, "cache_mode": "always"},
        switches,
    ) as server:
        server.invoke(job)
        row["first image s from process start"] = f"{time.perf_counter() - began:.2f}"
        server.invoke(job)
        rates: dict[int, float] = {}
        gaps: list[float] = []
        for count in [one for one in QUEUED if one <= options.queued]:
            said, rates[count], found = _queued(server, file, job, count)
            row |= said
            gaps += found
    # one job alone is not a rate; the most that wait are
    ratio = max(rates.values()) * bare_s
    row["images/s over in-process"] = f"{ratio:.3f}"
    found_figures = [Figure(name="ratio", value=ratio, by=f"{kind}, {steps} steps")]
    if gaps:
        row["gap between jobs ms"] = f"{median(gaps):.1f}"
        found_figures.append(Figure(name="gap", value=median(gaps), by=kind))
    return row, found_figures


def in_process(model: Path, device: str, precision: Precision, size_px: int, steps: int) -> float:
    """Give the median seconds of a picture by diffusers' own pipeline in this process; the first is not counted."""
    import torch
    from diffusers import DDIMScheduler, DiffusionPipeline

    pipeline: Any = DiffusionPipeline.from_pretrained(model, torch_dtype=dtype_of(precision))
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.unet.to(memory_format=torch.channels_last)
    spent = []
    for _ in range(4):
        began = time.perf_counter()
        pipeline(PROMPT, width=size_px, height=size_px, num_inference_steps=steps, guidance_scale=7.0)
        spent.append(time.perf_counter() - began)
    del pipeline
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    return median(spent[1:])


def _queued(
    server: Server, file: Path, job: Job, count: int
) -> tuple[dict[str, str], float, Sequence[float]]:
    """Send `count` jobs at once and poll until all are over; gives figures, pictures a second, and gaps in ms."""
    sent: dict[str, float] = {}
    polls: list[float] = []
    for seed in range(count):
        at = time.time()
        sent[server.call("POST", "/api/invoke", {**job, "seed": seed})["uuid"]] = at
    waiting, deadline = dict(sent), time.monotonic() + TIMEOUT_S
    while waiting:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(waiting)} of {count} jobs took more than {TIMEOUT_S} s")
        uuid = next(iter(waiting))
        began = time.perf_counter()
        status = server.call("GET", f"/api/invocation/{uuid}")
        polls.append(1000 * (time.perf_counter() - began))
        if status["status"] == "error":
            raise RuntimeError(status["message"])
        if status["status"] == "completed":
            del waiting[uuid]
        time.sleep(POLL_S)
    heard = settled(file, sent)
    over = {event["job"]: event["at"] for event in heard if event["kind"] == "Finished"}
    first = {event["job"]: event["at"] for event in reversed(heard) if event["kind"] in WORKING}
    latencies = [over[uuid] - at for uuid, at in sent.items()]
    order = sorted(over, key=lambda uuid: first[uuid])
    gaps = [1000 * (first[after] - over[before]) for before, after in pairwise(order)]
    rate = count / (max(over.values()) - min(sent.values()))
    said = {
        f"N={count}: img/s": f"{rate:.3g}",
        f"N={count}: p50/p95/p99 s": "/".join(f"{percentile(latencies, at):.3g}" for at in (0.5, 0.95, 0.99)),
        f"N={count}: poll p99 ms": f"{percentile(polls, 0.99):.1f}",
    }
    if count == 1:
        uuid = next(iter(sent))
        said["queue to first step ms"] = f"{1000 * (first[uuid] - sent[uuid]):.1f}"
    return said, rate, gaps
