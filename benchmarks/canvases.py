"""Large canvases: windows in batches against one at a time, regions together against one after the other."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from stretto.host.contracts.models import Precision
from stretto.host.contracts.plan import Chunking
from stretto.host.contracts.request import InvocationRequest, NodeRequest, RegionMode
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

from .report import Row

__all__ = ["region_modes", "window_batches"]

SIDE_PX = 128  # the starter's
SIDES = 8
CELLS = SIDE_PX // 8
STEPS = 20
Geometry = tuple[
    str, float, int, int, str
]  # what it is, the bound, the canvas, a region, the prompt of the rest
GEOMETRIES: tuple[Geometry, ...] = (
    ("four regions side by side", 0.6, 2 * SIDE_PX, SIDE_PX, ""),
    ("four regions in one window", 0.6, SIDE_PX, SIDE_PX // 2, ""),
    ("four regions, the rest by the prompt", 1.0, 3 * SIDE_PX, SIDE_PX, "a green background"),
)
PROMPTS = ("a cat", "a dog", "a red circle", "a blue square")


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _in_turn(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Give the median CPU time of each work in seconds, done in turn; a first round is not counted."""
    spent: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 1):
        for times, work in zip(spent, works, strict=True):
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
    return [median(times[1:]) for times in spent]


def window_batches(model: Path, rounds: int = 3) -> Row:
    """Time a step over a canvas of 8 x 8 of the model's own sides in windows that overlap by half."""
    import torch
    from diffusers import UNet2DConditionModel
    from stretto.host.engine import latents
    from stretto.host.engine.conditioning import Conditions
    from stretto.host.engine.denoise import guide

    unet = UNet2DConditionModel.from_pretrained(model / "unet").eval().requires_grad_(False)
    unet.to(memory_format=torch.channels_last)
    words = torch.randn(2, 77, unet.config.cross_attention_dim)
    guides = Conditions(tokens=words, pooled=None, time_ids=None, guidance=7.0)
    canvas = (SIDES * SIDE_PX,) * 2
    mosaic = latents.lay_windows(
        canvas, Chunking(size_px=SIDE_PX, stride_px=SIDE_PX // 2, blur_px=SIDE_PX // 8)
    )
    start = latents.noise(1, 4, canvas, torch.Generator().manual_seed(0))

    def step() -> None:
        with torch.inference_mode():
            mosaic.blend(start, lambda rows: guide(unet, rows, torch.tensor(500), guides))

    def one_at_a_time() -> None:
        limits = latents._CALL_LIMIT_CELLS  # noqa: SLF001 - what is measured against is nobody's choice
        before = limits["cpu"]
        limits["cpu"] = CELLS**2
        try:
            step()
        finally:
            limits["cpu"] = before

    with _one_thread():
        together_s, apart_s = _in_turn(rounds, step, one_at_a_time)
    return Row(
        name=f"windows in batches, {canvas[0]} x {canvas[1]} px",
        value=together_s / apart_s,
        bound=round(1 / 1.3, 2),
        unit="x",
        detail=f"{together_s:.2f} s a step of {len(mosaic.windows)} windows against {apart_s:.2f} s one at a time, "
        f"CPU seconds on one thread, median of {rounds}",
    )


def region_modes(rounds: int = 5) -> list[Row]:
    """Time four regions, together and one after the other, as this machine draws by itself and in float32."""
    from stretto.host.engine.device import pick_precision

    own, plain = pick_precision(None, "cpu"), Precision.FLOAT32
    rows = _regions(own, rounds, GEOMETRIES)
    return rows if own is plain else [*rows, *_regions(plain, rounds, GEOMETRIES[:2])]


def _regions(precision: Precision, rounds: int, geometries: Sequence[Geometry]) -> list[Row]:
    """Time whole jobs with everything."""
    with tempfile.TemporaryDirectory() as folder:
        folders = Folders(Path(folder))
        folders.create()
        with Host.open(folders, Settings(precision=precision.value)) as host, _one_thread():

            def job(mode: RegionMode, side: int, own: int, prompt: str) -> Callable[[], object]:
                far = side - own
                places = [(x, y) for y in (0, far) for x in (0, far)]
                nodes = tuple(
                    NodeRequest(x=x, y=y, w=own, h=own, prompt=text)
                    for (x, y), text in zip(places, PROMPTS, strict=True)
                )
                request = InvocationRequest(
                    nodes=nodes,
                    region_mode=mode,
                    width=side,
                    height=side,
                    prompt=prompt,
                    num_inference_steps=STEPS,
                    scheduler="ddim",
                    intermediates=False,
                    seed=1,
                )
                return lambda: host.run_here(host.plan(request), lambda _: None)

            return [
                _modes(
                    rounds,
                    (f"{what}, {precision}", bound),
                    job("latent", side, own, prompt),
                    job("paste", side, own, prompt),
                )
                for what, bound, side, own, prompt in geometries
            ]


def _modes(
    rounds: int, called: tuple[str, float], latent: Callable[[], object], paste: Callable[[], object]
) -> Row:
    latent_s, paste_s = _in_turn(rounds, latent, paste)
    return Row(
        name=f'{called[0]}, "latent" against "paste"',
        value=latent_s / paste_s,
        bound=called[1],
        unit="x",
        detail=f"{latent_s:.2f} s against {paste_s:.2f} s, CPU seconds of a whole job on one thread, median of {rounds}",
    )
