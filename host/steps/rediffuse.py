"""Drawing enlarged pictures over again: image-to-image on each, in windows of the model's size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from PIL import Image

from ..contracts.plan import Chunking, Rediffusion
from ..contracts.protocols import Bench, Frame, LoadedModel
from ..contracts.steps import Rediffuse
from ..engine.components import CELL_PX, check_draws
from ..engine.conditioning import conditions
from ..engine.denoise import denoise
from ..engine.device import out_of_memory_said
from ..engine.fitting import fill_up
from ..engine.images import to_images, to_pixels
from ..engine.latents import decode, encode, lay_windows
from ..engine.patching import patched
from ..engine.schedule import Schedule, lay_out
from ..engine.seamless import Axes
from ..geometry import round_up
from .control import following
from .diffuse import scheduler_spec

__all__ = ["Redrawing", "rediffuse", "redrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrawing:
    """How one picture is drawn over, in windows of `size_px`; `scores` as `conditions` takes them."""

    settings: Rediffusion
    size_px: int
    task: str
    scores: tuple[float, float] | None = None
    tile: Axes = (False, False)  # where the picture goes on at its other end


def rediffuse(step: Rediffuse, frame: Frame, bench: Bench) -> Frame:
    """Draw over each picture by itself, from the job's seed; what is transparent stays so.

    The same as asking for image-to-image with the enlarged picture as `image` and the same seed.
    """
    plan = bench.plan
    redrawing = Redrawing(settings=step.settings, size_px=plan.size, task=step.why, tile=plan.tile)
    images = []
    with patched(step.model, bench) as model:
        for image in frame.images:
            with out_of_memory_said(f"drawing over {image.width} x {image.height} px"):
                images.append(redrawn(redrawing, image, model, bench))
    return replace(frame, images=tuple(images))


def redrawn(how: Redrawing, image: Image.Image, model: LoadedModel, bench: Bench) -> Image.Image:
    """Draw over one picture, from the job's seed; what is transparent stays so."""
    settings, plan = how.settings, bench.plan
    size_px = round_up(image.height, CELL_PX), round_up(image.width, CELL_PX)
    chunking = Chunking(
        size_px=how.size_px,
        stride_px=settings.chunking_size,
        blur_px=settings.chunking_blur,
        tile=how.tile,
    )
    device = check_draws(model).device
    mosaic = lay_windows(size_px, chunking, device)
    words = plan.wording(model.spec, settings.negative_prompt, settings.prompt)
    guides = conditions(model, words, settings.guidance_scale, size_px, bench.cache, how.scores)
    # one generator for all that is random, in the order of diffusers' pipelines
    generator = torch.Generator("cpu").manual_seed(plan.seed)
    spec = scheduler_spec(plan, model, bench, windows=len(mosaic.windows))
    seeded = {spec.seed_key: plan.seed} if spec.seed_key else {}
    schedule = lay_out(
        spec.build({**model.scheduler_config, **seeded}),
        settings.num_inference_steps,
        generator,
        settings.strength,
        on_cpu=spec.seed_key is not None,
    )
    count = _Count(bench, how.task, schedule, len(mosaic.windows))
    picture = fill_up(image.convert("RGB"), size_px)
    if settings.control is not None:
        guides, mosaic = following(settings.control, picture, model, (guides, mosaic), bench)
    encoded = encode(model.vae, to_pixels([picture]), generator, how.tile)
    count.tick()
    latents = schedule.start(encoded, torch.randn(encoded.shape, generator=generator))
    clean = denoise(latents.to(device), model.unet, schedule, guides, mosaic, count)
    (drawn,) = to_images(decode(model.vae, clean, how.tile))
    count.tick()
    return _as_it_was(drawn, image)


def _as_it_was(drawn: Image.Image, before: Image.Image) -> Image.Image:
    """Cut a drawn picture to the size and give it the transparency of the one before."""
    cropped = drawn.crop((0, 0, before.width, before.height))
    if before.mode == "RGBA":
        cropped.putalpha(before.getchannel("A"))
    return cropped


class _Count:
    """Counts ticks: per window one a step, one to encode and one to decode."""

    def __init__(self, bench: Bench, task: str, schedule: Schedule, windows: int) -> None:
        self._bench = bench
        self._task = task
        self._schedule = schedule
        self._windows = windows

    def tick(self) -> None:
        """Count something that is done once, over all windows."""
        self._bench.tick(self._task, ticks=self._windows)

    def predicted(self, call: int, rows: int) -> None:
        """Count the windows of a call that ends a step; other calls only look whether to go on."""
        self._bench.tick(self._task, ticks=rows if self._schedule.completes(call) else 0)

    def stepped(self, call: int, latents: torch.Tensor) -> None:
        """Show nothing on the way."""
