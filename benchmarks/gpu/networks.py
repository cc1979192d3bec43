"""Networks alone, by every way: milliseconds of a step and of decoding, seconds to build, open and open again."""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from stretto.host import Component, Precision
from stretto.host.engine.components import settle
from stretto.host.engine.device import dtype_of
from stretto.host.engine.graphs import network
from stretto.host.engine.parity import BOUNDS, compare
from stretto.host.testing.full_size import SIZES_PX, random_model

from .targets import Measured
from .ways import EAGER, FUSED, Setup, Way, eager, median_ms, profile, way

__all__ = ["TINY_PX", "networks", "reopened"]

TINY_PX = 64
PARTS = (Component.UNET, Component.VAE_DECODER)


def networks(
    kind: str, folder: Path, options: argparse.Namespace
) -> Iterator[tuple[Mapping[str, str], list[Measured]]]:
    """Give a row of figures for every way, and what targets are set for."""
    on_gpu = options.device.startswith("cuda")
    precision = Precision(options.precision)
    plain = random_model(kind, options.device, dtype_of(precision), tiny=options.tiny)
    fused = copy.deepcopy(plain) if FUSED in options.ways else plain
    model = settle(plain)
    size_px = TINY_PX if options.tiny else SIZES_PX[kind]
    batches = tuple(int(batch) for batch in options.batches.split(","))
    setups = _setups(model, folder, options, size_px, batches)
    for name in options.ways:
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        if name == FUSED:
            fused.unet.fuse_qkv_projections()
            fused.vae.fuse_qkv_projections()
            yield _row(name, kind, _setups(fused, folder / FUSED, options, size_px, batches), batches)
            continue
        row, found = _row(name, kind, setups, batches)
        if found and name not in {EAGER, FUSED}:
            again_s = _second_process(kind, name, folder, options)
            row = {**row, "second process s": f"{again_s:.2f}"}
            found = [replace(one, again_s=again_s) for one in found]
        yield row, found


def _setups(
    model: Any, folder: Path, options: argparse.Namespace, size_px: int, batches: tuple[int, ...]
) -> dict[Component, Setup]:
    return {
        part: Setup(
            graph=network(model, part, folder / part / "graph", Precision(options.precision)),
            profile=profile(size_px, batches, guided=part is Component.UNET),
            device=options.device,
            folder=folder / part,
        )
        for part in PARTS
    }


def reopened(kind: str, folder: Path, options: argparse.Namespace) -> float:
    """Give the seconds until the first step by engines that another process built."""
    size_px = TINY_PX if options.tiny else SIZES_PX[kind]
    batches = tuple(int(batch) for batch in options.batches.split(","))
    dtype = dtype_of(Precision(options.precision))
    model = settle(random_model(kind, options.device, dtype, tiny=options.tiny))
    setup = _setups(model, folder, options, size_px, batches)[Component.UNET]
    began = time.perf_counter()
    with way(options.ways[0], setup) as opened:
        if not isinstance(opened, Way) or opened.build_s is not None:
            raise SystemExit(f"the engine of {options.ways[0]} was not there: {opened}")
        _first_step(setup, opened)
        return time.perf_counter() - began


def _first_step(setup: Setup, opened: Way) -> float:
    began = time.perf_counter()
    for tensor in opened.call(setup.graph.sample(_lengths(setup, setup.profile["batch"].opt))):
        tensor.flatten()[0].item()  # waits for a GPU
    return time.perf_counter() - began


def _second_process(kind: str, name: str, folder: Path, options: argparse.Namespace) -> float:
    """Open in another process what was built here."""
    command = [
        sys.executable, "-m", "benchmarks.gpu", "--only", "reopen", "--models", kind, "--ways", name,
        "--device", options.device, "--precision", options.precision, "--batches", options.batches,
        "--keep", str(folder.parent), *(["--tiny"] if options.tiny else []),
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def _row(
    name: str, kind: str, setups: Mapping[Component, Setup], batches: tuple[int, ...]
) -> tuple[Mapping[str, str], list[Measured]]:
    unet, decoder = (setups[part] for part in PARTS)
    row = {"model": kind, "way": name}
    with way(name, unet) as steps, way(name, decoder) as pictures:
        if not isinstance(steps, Way):
            return {**row, "build s": f"not here: {steps}"}, []
        if not isinstance(pictures, Way):
            return {**row, "build s": f"not here: {pictures}"}, []
        first_s = _first_step(unet, steps)
        found = [
            replace(
                _at(name, kind, batch, (unet, steps), (decoder, pictures), guided=guided), first_s=first_s
            )
            for batch in batches
            for guided in (True, False)
        ]
        error = _error(unet, steps)
    return {**row, **_said(found, error, unet)}, found


def _at(
    name: str, kind: str, batch: int, unet: tuple[Setup, Way], decoder: tuple[Setup, Way], *, guided: bool
) -> Measured:
    def ms(setup: Setup, opened: Way, rows: int) -> float:
        inputs = setup.graph.sample(_lengths(setup, rows))
        return median_ms(lambda: opened.call(inputs), setup.device)

    builds = [opened.build_s for _, opened in (unet, decoder)]
    return Measured(
        way=name,
        model=kind,
        batch=batch,
        step_ms=ms(*unet, 2 * batch if guided else batch),
        guided=guided,
        decode_ms=ms(*decoder, batch),
        build_s=sum(build or 0.0 for build in builds) if any(builds) else None,
        open_s=sum(opened.open_s for _, opened in (unet, decoder)),
    )


def _lengths(setup: Setup, rows: int) -> dict[str, int]:
    return {name: span.opt for name, span in setup.profile.items()} | {"batch": rows}


def _error(setup: Setup, opened: Way) -> str:
    inputs = setup.graph.sample(_lengths(setup, 2), seed=1)
    expected = eager(setup.graph)(inputs)
    report = compare(expected, opened.call(inputs), BOUNDS[setup.graph.precision])
    return f"{report.max_error:.1e} {'ok' if report.passed else 'FAILED: ' + report.why}"


def _said(found: Sequence[Measured], error: str, setup: Setup) -> dict[str, str]:
    on_gpu = setup.device.startswith("cuda")
    held = (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()) if on_gpu else ()
    peak = "/".join(f"{value / 2**30:.1f}" for value in held) or "-"
    flops = _flops(setup)
    said = {
        "build s": "-" if found[0].build_s is None else f"{found[0].build_s:.1f}",
        "open s": f"{found[0].open_s:.2f}",
        "first step s": f"{found[0].first_s:.2f}",
    }
    for one in found:
        if not one.guided:
            said[f"step ms, batch {one.batch}, no guidance"] = f"{one.step_ms:.2f}"
            continue
        rate = one.batch * flops / one.step_ms / 1e9
        said |= {
            f"step ms, batch {one.batch}": f"{one.step_ms:.2f}",
            f"TFLOP/s, batch {one.batch}": f"{rate:.3g}",
            f"decode ms, batch {one.batch}": f"{one.decode_ms:.2f}",
            f"img/s 20 steps, batch {one.batch}": f"{one.batch / one.image_s(20):.3g}",
        }
    return {**said, "error": error, "peak GiB allocated/reserved (torch's)": peak}


def _flops(setup: Setup) -> float:
    """Count the floating-point operations of one step of one guided picture."""
    from torch.utils.flop_counter import FlopCounterMode

    inputs = setup.graph.sample(_lengths(setup, 2))
    with torch.inference_mode(mode=False), torch.no_grad(), FlopCounterMode(display=False) as counted:
        setup.graph.module()(*inputs.values())
    return float(counted.get_total_flops())
