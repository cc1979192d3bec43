"""Refining: a second model over each finished picture, or over the latents that the first one hands over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from PIL import Image

from ..contracts.plan import Node, Rediffusion
from ..contracts.protocols import Bench, Frame, LoadedModel
from ..contracts.refining import Refining
from ..contracts.steps import Refine
from ..engine.components import check_draws
from ..engine.conditioning import conditions
from ..engine.denoise import denoise
from ..engine.device import out_of_memory_said
from ..engine.handing import Handed, go_on
from ..engine.patching import patched
from ..engine.seamless import resized
from .background import cut_out
from .canvas import cropped
from .desk import at_node
from .diffuse import Progress, scheduler_spec
from .inpaint import open_work
from .rediffuse import Redrawing, redrawn
from .regions import lay_node

__all__ = ["refine"]


def refine(step: Refine, frame: Frame, bench: Bench) -> Frame:
    """Refine each picture by itself, from the job's seed, or finish the latents that were handed over.

    Where only a part of the node was repainted, only that part is refined.
    """
    handed, bench = frame.handed, at_node(bench, step.node)
    with (
        patched(step.model, bench) as model,
        out_of_memory_said(f"refining {step.node.width} x {step.node.height} px"),
    ):
        if handed is not None:
            return replace(frame, images=_finished(step, handed, model, bench), handed=None)
        painted = open_work(cut_out(step.node, bench)).painted if step.node.paints else None
        refined = [_refined(step, image, model, bench) for image in frame.images]
    return replace(frame, images=_kept(frame.images, refined, painted))


def _refined(step: Refine, image: Image.Image, model: LoadedModel, bench: Bench) -> Image.Image:
    node, refining = step.node, step.refining
    tile = bench.plan.tiled(node)
    size = Refining.enlarged(image.width, image.height, step.size_px, tile)
    taken = resized(image, size, tile)
    redrawing = Redrawing(
        settings=_as_rediffusion(node, refining, bench),
        size_px=step.size_px,
        task="refining",
        scores=refining.scores,
        tile=tile,
    )
    return resized(redrawn(redrawing, taken, model, bench), image.size, tile)


def _kept(
    before: Sequence[Image.Image], after: Sequence[Image.Image], painted: Image.Image | None
) -> tuple[Image.Image, ...]:
    """Leave as it was what was not repainted."""
    if painted is None:
        return tuple(after)
    return tuple(
        Image.composite(refined, image, painted) for refined, image in zip(after, before, strict=True)
    )


def _as_rediffusion(node: Node, refining: Refining, bench: Bench) -> Rediffusion:
    return Rediffusion(
        prompt=node.prompt or ", ".join(region.prompt for region in node.regions),
        negative_prompt=node.negative_prompt,
        num_inference_steps=node.num_inference_steps,
        guidance_scale=refining.guidance_scale,
        strength=refining.strength,
        chunking_size=bench.plan.chunking_size,
        chunking_blur=bench.plan.chunking_blur,
    )


def _finished(step: Refine, handed: Handed, model: LoadedModel, bench: Bench) -> tuple[Image.Image, ...]:
    node, plan, refining = step.node, bench.plan, step.refining
    device = check_draws(model).device
    words = plan.wording(model.spec, node.negative_prompt, node.prompt)
    guides = conditions(model, words, refining.guidance_scale, node.canvas_px, bench.cache, refining.scores)
    mosaic = lay_node(node, model, guides, bench, refining)
    spec = scheduler_spec(plan, model, bench, windows=len(mosaic.windows))
    seeded = {spec.seed_key: plan.seed} if spec.seed_key else {}
    scheduler = spec.build({**model.scheduler_config, **seeded})
    schedule = go_on(scheduler, node.num_inference_steps, handed, on_cpu=spec.seed_key is not None)
    progress = Progress(bench, partial(cropped, node=node), model, schedule, mosaic)
    progress.resume(handed.done)
    latents = handed.latents.to(device)
    return progress.decoded(denoise(latents, model.unet, schedule, guides, mosaic, progress))
