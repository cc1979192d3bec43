"""`python -m benchmarks.gpu`: torch and every compiler on random full-size SD 1.5 and SDXL, beside the targets.

Steps are the UNet's calls with guidance (two rows a picture); the rest of a picture is the VAE's decoding.
Waiting in a queue, HTTP and switching of models are measured by `python -m benchmarks`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stretto.host import Component, Precision
from stretto.host.testing.full_size import SIZES_PX, random_model

from .targets import Measured, judged
from .ways import Setup, Way, eager, median_ms, names, profile, way

TINY_PX = 64
PARTS = (Component.UNET, Component.VAE_DECODER)
NO_GPU = "There is no NVIDIA GPU that torch can use here; `--tiny --device cpu` tries the commands out without one."


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where there is no GPU."""
    options = _options(arguments)
    import torch

    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 1
    on_gpu = options.device.startswith("cuda")
    print(
        f"torch {torch.__version__} on {torch.cuda.get_device_name(options.device) if on_gpu else 'the CPU'}"
    )
    found: list[Measured] = []
    rows: list[Mapping[str, str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        for model in options.models.split(","):
            for row, measured in _measured(model, folder / model, options):
                print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
                rows.append(row)
                found += measured
    print()
    _table(rows)
    if not options.tiny:
        print("\nTargets are those of one H200:\n")
        _table(judged(found))
    return 0


def _ways(text: str) -> list[str]:
    found = text.split(",")
    if unknown := sorted(set(found).difference(names())):
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' is none of {', '.join(names())}")
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", default=",".join(SIZES_PX), help="sd15, sdxl or both with a comma")
    parser.add_argument("--ways", type=_ways, default=list(names()), help="of " + ", ".join(names()))
    parser.add_argument("--batches", default="1,8", help="pictures at once")
    parser.add_argument(
        "--tiny", action="store_true", help="narrow networks at 64 px, to try the command out"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        help="keep engines here; a second run tells what opening them takes another process",
    )
    return parser.parse_args(arguments)


def _measured(
    kind: str, folder: Path, options: argparse.Namespace
) -> Iterator[tuple[Mapping[str, str], list[Measured]]]:
    import torch
    from stretto.host.engine.components import settle
    from stretto.host.engine.graphs import network

    on_gpu = options.device.startswith("cuda")
    dtype, precision = (torch.float16, Precision.FLOAT16) if on_gpu else (torch.float32, Precision.FLOAT32)
    model = settle(random_model(kind, options.device, dtype, tiny=options.tiny))
    size_px = TINY_PX if options.tiny else SIZES_PX[kind]
    batches = tuple(int(batch) for batch in options.batches.split(","))
    setups = {
        part: Setup(
            graph=network(model, part, folder / part / "graph", precision),
            profile=profile(size_px, batches, guided=part is Component.UNET),
            device=options.device,
            folder=folder / part,
        )
        for part in PARTS
    }
    for name in options.ways:
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        yield _row(name, kind, setups, batches)


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
        found = [_at(name, kind, batch, (unet, steps), (decoder, pictures)) for batch in batches]
        error = _error(unet, steps)
    return {**row, **_said(found, error, unet)}, found


def _at(name: str, kind: str, batch: int, unet: tuple[Setup, Way], decoder: tuple[Setup, Way]) -> Measured:
    def ms(setup: Setup, opened: Way, rows: int) -> float:
        inputs = setup.graph.sample(_lengths(setup, rows))
        return median_ms(lambda: opened.call(inputs), setup.device)

    builds = [opened.build_s for _, opened in (unet, decoder)]
    return Measured(
        way=name,
        model=kind,
        batch=batch,
        step_ms=ms(*unet, 2 * batch),
        decode_ms=ms(*decoder, batch),
        build_s=sum(build or 0.0 for build in builds) if any(builds) else None,
        open_s=sum(opened.open_s for _, opened in (unet, decoder)),
    )


def _lengths(setup: Setup, rows: int) -> dict[str, int]:
    return {name: span.opt for name, span in setup.profile.items()} | {"batch": rows}


def _error(setup: Setup, opened: Way) -> str:
    from stretto.host.engine.parity import BOUNDS, compare

    inputs = setup.graph.sample(_lengths(setup, 2), seed=1)
    expected = eager(setup.graph)(inputs)
    report = compare(expected, opened.call(inputs), BOUNDS[setup.graph.precision])
    return f"{report.max_error:.1e} {'ok' if report.passed else 'FAILED: ' + report.why}"


def _said(found: Sequence[Measured], error: str, setup: Setup) -> dict[str, str]:
    import torch

    on_gpu = setup.device.startswith("cuda")
    peak = f"{torch.cuda.max_memory_allocated() / 2**30:.1f}" if on_gpu else "-"
    flops = _flops(setup)
    said = {
        "build s": "-" if found[0].build_s is None else f"{found[0].build_s:.1f}",
        "open s": f"{found[0].open_s:.2f}",
    }
    for one in found:
        rate = one.batch * flops / one.step_ms / 1e9
        said |= {
            f"step ms, batch {one.batch}": f"{one.step_ms:.2f}",
            f"TFLOP/s, batch {one.batch}": f"{rate:.3g}",
            f"decode ms, batch {one.batch}": f"{one.decode_ms:.2f}",
            f"img/s 20 steps, batch {one.batch}": f"{one.batch / one.image_s(20):.3g}",
        }
    return {**said, "error": error, "peak GB (torch's)": peak}


def _flops(setup: Setup) -> float:
    """Count the floating-point operations of one step of one guided picture."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    inputs = setup.graph.sample(_lengths(setup, 2))
    with torch.inference_mode(mode=False), torch.no_grad(), FlopCounterMode(display=False) as counted:
        setup.graph.module()(*inputs.values())
    return float(counted.get_total_flops())


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row.get(name, "")) for name in columns) + " |")


if __name__ == "__main__":
    sys.exit(main())
