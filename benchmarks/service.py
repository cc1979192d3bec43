"""Our service over HTTP against a bare diffusers pipeline in-process: CPU-seconds, interleaved, one thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .report import Row
from .server import ONE_THREAD, Server

__all__ = ["Peer", "bare", "compare"]


@dataclass(frozen=True, slots=True)
class Peer:
    """A bare pipeline that answers one job at a time."""

    process: subprocess.Popen[str]

    def run(self, job: dict[str, Any]) -> float:
        """Draw one picture; gives its CPU-seconds."""
        assert self.process.stdin is not None  # noqa: S101 - Popen was given pipes
        assert self.process.stdout is not None  # noqa: S101
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return float(json.loads(self.process.stdout.readline())["cpu_s"])


@contextmanager
def bare(model: Path, out: Path) -> Iterator[Peer]:
    """Start a bare pipeline over `model`, wait until it is loaded, end it afterwards."""
    command = [sys.executable, "-m", "benchmarks.bare_pipeline", str(model), str(out)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **ONE_THREAD},
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - Popen was given a pipe
            process.stdout.readline()
            yield Peer(process)
        finally:
            process.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison: what is drawn, how often, and the ratio that must hold."""

    name: str
    side_px: int
    steps: int
    rounds: int
    bound: float
    fresh_prompts: bool  # a new prompt each time, or the same one again
    jobs: int = (
        1  # in a round; a process's time is told in hundredths of a second, which one small job drowns in
    )


CASES = (
    Case(name="256 px, 10 steps", side_px=256, steps=10, rounds=5, bound=1.05, fresh_prompts=True),
    Case(
        name="repeated prompt, 64 px, 4 steps",
        side_px=64,
        steps=4,
        rounds=9,
        bound=0.80,
        fresh_prompts=False,
        jobs=8,
    ),
)


def _ours(server: Server, model: str, job: dict[str, Any]) -> float:
    before = server.cpu_s()
    server.invoke(
        {
            "model": model,
            "prompt": job["prompt"],
            "width": job["width"],
            "height": job["height"],
            "num_inference_steps": job["steps"],
            "guidance_scale": 7.0,
            "scheduler": "ddim",
            "chunking_size": 0,
            "seed": job["seed"],
            "intermediates": False,
        }
    )
    return server.cpu_s() - before


def compare(server: Server, peer: Peer, model: str, label: str) -> list[Row]:
    """Run every case, ours and the peer's in turn; ratios are of medians, the first pair is a warm-up."""
    rows = []
    for case in CASES:
        ours, theirs = [], []
        for index in range(case.rounds + 1):
            word = f", number {index}" if case.fresh_prompts else ""
            job = {
                "prompt": f"a red circle on a blue background{word}",
                "width": case.side_px,
                "height": case.side_px,
                "steps": case.steps,
                "seed": index,
            }
            one = sum(_ours(server, model, job) for _ in range(case.jobs)) / case.jobs
            other = sum(peer.run(job) for _ in range(case.jobs)) / case.jobs
            if index:
                ours.append(one)
                theirs.append(other)
        often = f" of {case.jobs} jobs each" if case.jobs > 1 else ""
        detail = f"{median(ours):.3f} against {median(theirs):.3f} CPU-s a job, median of {case.rounds} rounds{often}"
        ratio = median(ours) / median(theirs)
        rows.append(Row(name=f"{label}: {case.name}", value=ratio, bound=case.bound, unit="x", detail=detail))
    return rows
