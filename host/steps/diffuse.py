"""Drawing one node: from noise, or from an image, to pictures; what to hand to the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from PIL import Image

from ..contracts.plan import Node, Plan
from ..contracts.protocols import Bench, Frame, LoadedModel
from ..contracts.specs import SchedulerSpec
from ..contracts.steps import Diffuse
from ..engine.components import check_draws
from ..engine.conditioning import conditions
from ..engine.denoise import denoise
from ..engine.device import out_of_memory_said
from ..engine.handing import Handed, part
from ..engine.images import to_images, to_pixels
from ..engine.inpainting import Start, check_fills, fill
from ..engine.latents import Mosaic, decode, encode, noise, offset
from ..engine.patching import patched
from ..engine.regions import Regions
from ..engine.schedule import Schedule, lay_out
from .background import cut_out
from .canvas import canvas_px, cropped, input_image, laid_image
from .control import controlled
from .desk import at_node, given
from .inpaint import Work, open_work
from .regions import lay_node, windows_over

__all__ = ["diffuse", "scheduler_spec"]


def diffuse(step: Diffuse, frame: Frame, bench: Bench) -> Frame:
    """Draw the node, `samples` pictures of it; raises OutOfMemoryError with what to do about it."""
    bench = at_node(bench, step.node, once=step.once)
    node, samples = cut_out(given(step.node, frame, bench), bench), bench.plan.samples
    if node.image is not None and not int(node.num_inference_steps * node.strength):
        return replace(frame, images=_untouched(node, bench))
    with (
        out_of_memory_said(f"drawing {samples} x {node.width} x {node.height} px"),
        patched(step.model, bench) as model,
    ):
        drawn = _drawn(node, model, bench)
    if isinstance(drawn, Handed):
        return replace(frame, images=(), handed=drawn)
    return replace(frame, images=drawn)


def _untouched(node: Node, bench: Bench) -> tuple[Image.Image, ...]:
    """Give the image as it is, which is what a strength without a single step asks for."""
    windows = windows_over(node, bench.plan)
    bench.tick("fitting the image", ticks=windows * (3 if node.paints else 2))
    return (laid_image(node),) * bench.plan.samples


def _drawn(node: Node, model: LoadedModel, bench: Bench) -> tuple[Image.Image, ...] | Handed:
    plan, size_px = bench.plan, canvas_px(node)
    device = (check_fills if node.paints else check_draws)(model).device
    words = plan.wording(model.spec, node.negative_prompt, node.prompt)
    guides = conditions(model, words, node.guidance_scale, size_px, bench.cache)
    mosaic = lay_node(node, model, guides, bench)
    # one generator for all that is random, in the order of diffusers' pipelines
    generator = torch.Generator("cpu").manual_seed(plan.seed)
    strength = None if node.image is None else node.strength
    spec = scheduler_spec(plan, model, bench, windows=len(mosaic.windows))
    seeded = {spec.seed_key: plan.seed} if spec.seed_key else {}
    schedule = lay_out(
        spec.build({**model.scheduler_config, **seeded}),
        node.num_inference_steps,
        generator,
        strength,
        on_cpu=spec.seed_key is not None,
    )
    steps = schedule.steps
    schedule, moment = part(schedule, node.parted_at)
    work = open_work(node) if node.paints else None
    finish = work.pasted if work else partial(cropped, node=node)
    progress = Progress(bench, finish, model, schedule, mosaic)
    start = _start(work or node, model, schedule, generator, progress)
    latents, schedule = start.latents.to(device), replace(schedule, keep=start.keep)
    if start.beside is not None:
        mosaic = replace(mosaic, beside=start.beside.to(device))
    if node.controls:
        guides, mosaic = controlled(node, model, guides, mosaic, bench)
    clean = denoise(latents, model.unet, schedule, guides, mosaic, progress)
    if node.parted_at is not None:
        left = steps - schedule.steps
        return Handed(latents=clean, generator=generator, moment=moment, done=schedule.steps, left=left)
    return progress.decoded(clean)


def scheduler_spec(plan: Plan, model: LoadedModel, bench: Bench, *, windows: int) -> SchedulerSpec:
    """Find the scheduler that was asked for, for one window or several, or the model's own."""
    asked = plan.multi_scheduler if windows > 1 and plan.multi_scheduler else plan.scheduler
    # plugins offer schedulers by their class name too, which is what models call theirs
    spec: SchedulerSpec = bench.host.offer("schedulers", asked or model.scheduler_config["_class_name"])
    return spec


def _start(
    node: Node | Work, model: LoadedModel, schedule: Schedule, generator: torch.Generator, progress: Progress
) -> Start:
    """Give the noisy latents to begin with, and what a part that is repainted needs besides."""
    plan, tile = progress.bench.plan, progress.tile
    samples, shift = plan.samples, plan.noise_offset
    if isinstance(node, Work):
        start = fill(model, schedule, replace(node.hole(), tile=tile), samples, generator, shift)
        progress.tick("encoding the image")
        progress.tick("encoding the mask")
        return start
    if node.image is None:
        drawn = noise(samples, model.vae.config.latent_channels, canvas_px(node), generator)
        drawn = offset(drawn, shift, generator)
        return Start(latents=drawn * schedule.scheduler.init_noise_sigma)
    encoded = encode(model.vae, to_pixels([input_image(node)]), generator, tile)
    progress.tick("encoding the image")
    repeated = encoded.repeat(samples, 1, 1, 1)
    drawn = offset(torch.randn(repeated.shape, generator=generator), shift, generator)
    return Start(latents=schedule.start(repeated, drawn))


class Progress:
    """Counts ticks: per window one a step, one to encode, one an intermediate and one to decode."""

    def __init__(
        self,
        bench: Bench,
        finish: Callable[[Image.Image], Image.Image],
        model: LoadedModel,
        schedule: Schedule,
        mosaic: Mosaic | Regions,
    ) -> None:
        self.bench = bench
        self.tile = mosaic.tile
        self._finish = finish
        self._vae = model.vae
        self._schedule = schedule
        self._windows = len(mosaic.windows)
        self._rows = 0
        self._steps = 0
        self._last = schedule.steps

    def resume(self, steps: int) -> None:
        """Go on counting after `steps` steps that another model took."""
        self._steps = steps
        self._last += steps

    def tick(self, task: str) -> None:
        """Count something that is done once, over all windows."""
        self.bench.tick(task, ticks=self._windows)

    def predicted(self, call: int, rows: int) -> None:
        """Count the windows of a call that ends a step; other calls only look whether to go on."""
        total = self._windows * self.bench.plan.samples
        before = self._rows * self._windows // total
        self._rows += rows
        ticks = self._rows * self._windows // total - before
        self.bench.tick("drawing", ticks=ticks if self._schedule.completes(call) else 0)

    def stepped(self, call: int, latents: torch.Tensor) -> None:
        """Show an intermediate every so many steps; the last one would be the picture itself."""
        self._rows = 0
        if not self._schedule.completes(call):
            return
        self._steps += 1
        plan = self.bench.plan
        if not plan.intermediates or self._steps % plan.image_callback_steps:
            return
        if self._steps < self._last:
            self.bench.preview(lambda: self._pictures(latents))
        self.tick("drawing")

    def decoded(self, latents: torch.Tensor) -> tuple[Image.Image, ...]:
        """Give the pictures of clean latents."""
        pictures = self._pictures(latents)
        self.tick("decoding")
        return pictures

    def _pictures(self, latents: torch.Tensor) -> tuple[Image.Image, ...]:
        return tuple(self._finish(image) for image in to_images(decode(self._vae, latents, self.tile)))
