"""Drawing one node: from noise, or from an image, to pictures; what to hand to the engine."""

from __future__ import annotations

from dataclasses import replace

import torch
from PIL import Image

from ..contracts.plan import Diffuse, Node, Plan
from ..contracts.protocols import Bench, Frame, LoadedModel
from ..contracts.specs import SchedulerSpec
from ..engine.components import check_draws
from ..engine.conditioning import conditions
from ..engine.denoise import denoise
from ..engine.device import out_of_memory_said
from ..engine.images import to_images, to_pixels
from ..engine.latents import Mosaic, decode, encode, lay_windows, noise
from ..engine.schedule import Schedule, lay_out
from .canvas import canvas_px, cropped, input_image

__all__ = ["diffuse", "scheduler_spec"]


def diffuse(step: Diffuse, frame: Frame, bench: Bench) -> Frame:
    """Draw the node, `samples` pictures of it; raises OutOfMemoryError with what to do about it."""
    node, samples = step.node, bench.plan.samples
    model = bench.model(step.model)
    with out_of_memory_said(f"drawing {samples} x {node.width} x {node.height} px"):
        return replace(frame, images=_drawn(node, model, bench))


def _drawn(node: Node, model: LoadedModel, bench: Bench) -> tuple[Image.Image, ...]:
    plan, size_px = bench.plan, canvas_px(node)
    device = check_draws(model).device
    mosaic = lay_windows(size_px, plan.chunking(node), device)
    guides = conditions(model, (node.negative_prompt, node.prompt), node.guidance_scale, size_px, bench.cache)
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
    progress = Progress(bench, node, model, schedule, mosaic)
    latents = _start(node, model, schedule, generator, progress).to(device)
    clean = denoise(latents, model.unet, schedule, guides, mosaic, progress)
    return progress.decoded(clean)


def scheduler_spec(plan: Plan, model: LoadedModel, bench: Bench, *, windows: int) -> SchedulerSpec:
    """Find the scheduler that was asked for, for one window or several, or the model's own."""
    asked = plan.multi_scheduler if windows > 1 and plan.multi_scheduler else plan.scheduler
    # plugins offer schedulers by their class name too, which is what models call theirs
    spec: SchedulerSpec = bench.host.offer("schedulers", asked or model.scheduler_config["_class_name"])
    return spec


def _start(
    node: Node, model: LoadedModel, schedule: Schedule, generator: torch.Generator, progress: Progress
) -> torch.Tensor:
    """Give the noisy latents to begin with, on the CPU."""
    samples = progress.bench.plan.samples
    if node.image is None:
        drawn = noise(samples, model.vae.config.latent_channels, canvas_px(node), generator)
        return drawn * schedule.scheduler.init_noise_sigma
    encoded = encode(model.vae, to_pixels([input_image(node)]), generator)
    progress.tick("encoding the image")
    repeated = encoded.repeat(samples, 1, 1, 1)
    return schedule.start(repeated, torch.randn(repeated.shape, generator=generator))


class Progress:
    """Counts ticks: per window one a step, one to encode, one an intermediate and one to decode."""

    def __init__(
        self, bench: Bench, node: Node, model: LoadedModel, schedule: Schedule, mosaic: Mosaic
    ) -> None:
        self.bench = bench
        self._node = node
        self._vae = model.vae
        self._schedule = schedule
        self._windows = len(mosaic.windows)
        self._rows = 0
        self._steps = 0

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
        if self._steps < self._schedule.steps:
            self.bench.preview(lambda: self._pictures(latents))
        self.tick("drawing")

    def decoded(self, latents: torch.Tensor) -> tuple[Image.Image, ...]:
        """Give the pictures of clean latents."""
        pictures = self._pictures(latents)
        self.tick("decoding")
        return pictures

    def _pictures(self, latents: torch.Tensor) -> tuple[Image.Image, ...]:
        return tuple(cropped(image, self._node) for image in to_images(decode(self._vae, latents)))
