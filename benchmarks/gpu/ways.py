"""The ways to run a network: torch as it is, and every compiler that works here, each with what it cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import AxisRange, CompilerSpec, Profile
from stretto.host.errors import EngineError
from stretto.plugins.compilers import onnxruntime, tensorrt, torch_compile

if TYPE_CHECKING:
    import torch
    from stretto.host.engine.graphs import Graph

__all__ = ["EAGER", "FUSED", "Setup", "Way", "eager", "median_ms", "names", "profile", "way"]

EAGER = "torch"
FUSED = "torch_fused"  # diffusers' own layers, channels last, one product for query, key and value
_OFFERS: Mapping[str, CompilerSpec] = {
    offer.name: offer for offer in (*torch_compile.OFFERS, *onnxruntime.OFFERS, *tensorrt.OFFERS)
}
_WARM, _CALLS = 3, 20
_CELL_PX, _TOKENS = 8, 77
Call = Callable[[Mapping[str, "torch.Tensor"]], tuple["torch.Tensor", ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What all ways share: the network, its sizes, where it runs, and the folder that engines are kept in."""

    graph: Graph
    profile: Profile
    device: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way that is open; `build_s` is None where its engine was there already."""

    call: Call
    build_s: float | None
    open_s: float


def names() -> tuple[str, ...]:
    """Give torch's own ways and every compiler."""
    return (EAGER, FUSED, *_OFFERS)


def profile(size_px: int, batches: tuple[int, ...], *, guided: bool) -> dict[str, AxisRange]:
    """Give the profile of one square size and these batches; guidance doubles the rows."""
    rows = sorted(batch * (2 if guided else 1) for batch in batches)
    cells = AxisRange.only(size_px // _CELL_PX)
    batch = AxisRange(min=1, opt=rows[0], max=rows[-1])
    return {"batch": batch, "height": cells, "width": cells, "tokens": AxisRange.only(_TOKENS)}


@contextmanager
def way(name: str, setup: Setup) -> Iterator[Way | str]:
    """Open a way for as long as this lasts, or give the reason why it cannot be had here."""
    if name in {EAGER, FUSED}:
        yield Way(call=eager(setup.graph), build_s=None, open_s=0.0)
        return
    offer = _OFFERS[name]
    if why := offer.missing():
        yield why
        return
    compiler = offer.build()
    target = compiler.target(setup.device)
    if why := compiler.unable(target, setup.device):
        yield why
        return
    out = setup.folder / name
    try:
        build_s = None
        if not out.is_dir():
            build_s = _timed(lambda: _built(name, setup, target, out))
        began = time.perf_counter()
        engine = compiler.open(out, setup.graph, setup.profile, setup.device)
    except EngineError as error:
        yield str(error)
        return
    try:
        yield Way(call=engine, build_s=build_s, open_s=time.perf_counter() - began)
    finally:
        engine.close()


def median_ms(call: Callable[[], object], device: str) -> float:
    """Give the median of 20 calls, by CUDA's events on a GPU and by the clock elsewhere."""
    import torch

    for _ in range(_WARM):
        call()
    found: list[float] = []
    for _ in range(_CALLS):
        if device.startswith("cuda"):
            event: Any = torch.cuda.Event  # untyped
            begin, end = (event(enable_timing=True) for _ in range(2))
            begin.record()
            call()
            end.record()
            end.synchronize()
            found.append(begin.elapsed_time(end))
        else:
            found.append(1e3 * _timed(call))
    return statistics.median(found)


def eager(graph: Graph) -> Call:
    """Give torch's own way to run a graph."""
    import torch

    module, ports = graph.module(), graph.inputs

    def call(inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            given: tuple[torch.Tensor, ...] = module(*(inputs[port.name] for port in ports))
        return given

    return call


def _built(name: str, setup: Setup, target: str, out: Path) -> None:
    """Build beside and rename, so that a build that failed is not taken for an engine."""
    part = out.with_name(f"{out.name}.part")
    part.mkdir(parents=True)
    _OFFERS[name].build().build(setup.graph, setup.profile, target, part, lambda _phase, _share: None)
    part.rename(out)


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
