"""Compiled engines on the CPU: what a call takes against torch, what a key costs, and what a hit adds to a start."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from stretto.host.catalog.digests import Digests
from stretto.host.contracts.acceleration import Build
from stretto.host.contracts.engines import AxisRange, Component
from stretto.host.contracts.models import Precision
from stretto.host.contracts.plan import Plan
from stretto.host.contracts.request import InvocationRequest
from stretto.host.runtime.host import Host
from stretto.host.runtime.machine import Machine
from stretto.host.settings import Folders, Settings

from .report import Row

__all__ = ["engine_calls", "engine_keys", "engine_starts"]

SIZE_PX = 128  # the starter's
CELL_PX = 8
CALLS = 20
ROUNDS = 5
KEYED_BYTES = 2 * 2**30
STARTS = {"onnxruntime": 1.3, "torch_compile": 1.2}  # with engines that are there, over without


def engine_calls(out: Path) -> list[Row]:
    """Build the starter's UNet with each compiler that works here, and time its calls."""
    rows = []
    for precision, compiler in (
        ("float32", "onnxruntime"),
        ("float32", "torch_compile"),
        ("bfloat16", "torch_compile"),
    ):
        rows += _calls(Folders(out / f"{compiler}-{precision}"), compiler, precision)
    return rows


def engine_starts(out: Path) -> list[Row]:
    """Time processes that draw with engines which an earlier process built."""
    rows = []
    for compiler in STARTS:
        folders = Folders(out / compiler)
        with Host.open(folders, Settings(precision="float32")) as host:
            _built(host, compiler)
        rows.append(_hit(folders.root, compiler))
    return rows


def _built(host: Host, compiler: str) -> Plan:
    """Build what the starter draws with; gives the plan of a picture."""
    spec = host.offer("compilers", compiler)
    if why := spec.missing():
        raise SystemExit(f"{compiler} does not work here: {why}")
    plan = host.plan(InvocationRequest(prompt="x", acceleration=compiler))
    builds = tuple(
        Build(component=component, compiler=compiler)
        for component in (Component.UNET, Component.VAE_DECODER)
        if component in spec.components
    )
    host.run_here(replace(plan, builds=builds))
    return plan


def _calls(folders: Folders, compiler: str, precision: Any) -> list[Row]:
    import torch

    with Host.open(folders, Settings(precision=precision)) as host:
        plan = _built(host, compiler)
        with Machine.open(host) as machine:
            before = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                sides = (SIZE_PX // CELL_PX, SIZE_PX // CELL_PX // 2)
                return [row for side in sides for row in _call(machine, plan, compiler, side)]
            finally:
                torch.set_num_threads(before)


def _call(machine: Machine, plan: Plan, compiler: str, side: int) -> list[Row]:
    """Time the engine against eager; ONNX Runtime also against bfloat16, torch.compile also block by block.

    Bounds are for the size that the starter was made for; at the other one the ratios are stated.
    """
    precision = machine.precision(None)
    model = machine.pool.get(replace(plan.base(), precision=precision))
    order = machine.engines.order(model, Build(component=Component.UNET, compiler=compiler), SIZE_PX)
    stored = machine.engines.store.find(order.key)
    if stored is None:
        raise SystemExit(f"{compiler} built no engine of the starter's UNet")
    engine = machine.engines.serving(order, model, stored)
    inputs = order.graph.sample({"batch": 2, "height": side, "width": side, "tokens": 77})
    how = f"built in {stored.manifest.build_s:.0f} s"
    own = side * CELL_PX == SIZE_PX

    def row(name: str, work: Callable[[], object], eager: Any, bound: float | None, how: str) -> Row:
        eager_s, work_s = _in_turn(_eager(eager, inputs), work)
        return Row(
            name=f"{name}, starter UNet, {side * CELL_PX} px",
            value=work_s / eager_s,
            bound=bound if own else None,
            unit="x",
            detail=f"{work_s * 1000:.1f} ms a call of two rows against {eager_s * 1000:.1f} ms, one thread, median "
            f"of {ROUNDS} rounds of {CALLS}; {how}",
        )

    if compiler == "onnxruntime":
        low = machine.pool.get(replace(plan.base(), precision=Precision.BFLOAT16))
        return [
            row(f"{compiler} {precision} / eager {name}", lambda: engine(inputs), unet, bound, how)
            for name, unet, bound in (("float32", model.unet, 1.0), ("bfloat16", low.unet, None))
        ]
    blocks, spent_s = _blocks(order.graph, side, inputs)
    least, regional = round(1 / 1.05, 2), f"compiled in {spent_s:.0f} s"
    try:
        return [
            row(f"{compiler} package / eager, {precision}", lambda: engine(inputs), model.unet, least, how),
            # stated: compilers see diffusers' own layers, and eager has leaner ones
            row(
                f"{compiler} regional / eager, {precision}",
                lambda: blocks(inputs),
                model.unet,
                None,
                regional,
            ),
        ]
    finally:
        blocks.close()


def _eager(unet: Any, inputs: Mapping[str, Any]) -> Callable[[], None]:
    """Give a call of the network itself on inputs of its own type."""
    import torch

    dtype = next(unet.parameters()).dtype
    rows, words = inputs["sample"].to(dtype), inputs["encoder_hidden_states"].to(dtype)
    moment = torch.tensor(500)

    def call() -> None:
        with torch.inference_mode():
            unet(rows, moment, encoder_hidden_states=words, return_dict=False)

    return call


def _blocks(graph: Any, side: int, inputs: Mapping[str, Any]) -> tuple[Any, float]:
    """Compile the network's repeated blocks for one size; gives the seconds, too."""
    from stretto.plugins.compilers.torch_blocks import Blocks

    lengths = {"batch": 2, "height": side, "width": side, "tokens": 77}
    one_size = {name: AxisRange.only(length) for name, length in lengths.items()}
    began = time.perf_counter()
    blocks = Blocks(b"", graph, one_size, "cpu")
    blocks(inputs)
    return blocks, time.perf_counter() - began


def _in_turn(*works: Callable[[], object]) -> list[float]:
    """Give the median CPU time of one call of each work in seconds, done in turn."""
    spent: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS + 1):
        for times, work in zip(spent, works, strict=True):
            began = time.process_time()
            for _ in range(CALLS):
                work()
            times.append((time.process_time() - began) / CALLS)
    return [median(times[1:]) for times in spent]


def engine_keys(out: Path) -> list[Row]:
    """Time the digest of a file as large as a checkpoint, read the first time and known the second."""
    file = out / "large.safetensors"
    chunk = os.urandom(2**24)
    with file.open("wb") as opened:
        for _ in range(KEYED_BYTES // len(chunk)):
            opened.write(chunk)
    memory, spent = out / "sha256.json", []
    for _ in range(2):
        digests = Digests(memory)
        began = time.perf_counter()
        digests.of(file)
        spent.append(time.perf_counter() - began)
    file.unlink()
    how = "SHA-256 of a file of 2 GiB in the page cache, wall time"
    return [
        Row(name="key of a 2 GiB checkpoint, first time", value=spent[0], bound=2.0, unit="s", detail=how),
        Row(
            name="key of a 2 GiB checkpoint, later",
            value=spent[1] * 1000,
            bound=5.0,
            unit="ms",
            detail="by path, length and time of change, in a new process's memory",
        ),
    ]


def _hit(data_dir: Path, compiler: str) -> Row:
    """Time a process that draws one step from its start, with engines that are there and without."""

    def first_step(*more: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        asked = ["--set", "num_inference_steps=1", "--set", "precision=float32", *more]
        done = subprocess.run(
            [sys.executable, "-m", "stretto.api.cli.main", "invoke", "a cat", "--data-dir", str(data_dir), "--json", *asked],
            check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        record = json.loads(done.stdout)["plan"]["acceleration"]
        if more and not record["used"]:
            raise SystemExit(f"no engine was used: {record['why']}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    spent = [(first_step(), first_step("--set", f"acceleration={compiler}")) for _ in range(3)]
    plain_s, hit_s = (median(times) for times in zip(*spent, strict=True))
    return Row(
        name=f"a hit of {compiler}, from the start of a process to its first step",
        value=hit_s / plain_s,
        bound=STARTS[compiler],
        unit="x",
        detail=f"{hit_s:.2f} s with its engines against {plain_s:.2f} s, CPU seconds, median of 3",
    )
