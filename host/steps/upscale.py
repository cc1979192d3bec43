"""Enlarging: every picture so far through an upscaler that some plugin offers."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from ..contracts.plan import UpscaleStage
from ..contracts.protocols import Bench, Frame, TilingUpscaler, Upscaler
from ..contracts.specs import UpscalerSpec
from ..contracts.steps import Upscale
from ..engine.device import out_of_memory_said
from ..engine.seamless import wrapped
from ..errors import ConfigurationError

__all__ = ["upscale", "upscaler_of"]

_BESIDE_PX = 32  # of a seamless picture's other end: more than a pixel of any network here is drawn from


def upscale(step: Upscale, frame: Frame, bench: Bench) -> Frame:
    """Enlarge every picture with the stage's method; a stopped job ends between two pieces of one."""
    upscaler = upscaler_of(step.stage, bench)
    images = []
    for image in frame.images:
        bench.tick(step.why, ticks=0)
        with out_of_memory_said(f"enlarging {image.width} x {image.height} px {step.stage.amount} times"):
            images.append(_enlarged(image, step, upscaler, bench))
    return replace(frame, images=tuple(images))


def upscaler_of(stage: UpscaleStage, bench: Bench) -> Upscaler:
    """Make the upscaler that a stage was planned with.

    Raises NotFoundError for a method that nobody offers any more, ConfigurationError for one that
    is offered in another way than it was when the job was planned.
    """
    spec, made = _made(stage, bench)
    return made if spec.adjusted is None else spec.adjusted(made, bench.host, bench.plan)


def _made(stage: UpscaleStage, bench: Bench) -> tuple[UpscalerSpec, Upscaler]:
    if stage.weights is None:
        spec: UpscalerSpec = bench.host.offer("upscalers", stage.method)
        if spec.build is not None:
            return spec, spec.build(bench.device)
    else:
        specs: list[UpscalerSpec] = list(bench.host.offers("upscalers").values())
        # a method that is nobody's name is a file's, for who opens any
        named = [spec for spec in specs if spec.name == stage.method]
        for spec in named or [spec for spec in specs if not spec.files]:
            if spec.assemble is not None:
                return spec, spec.assemble(stage.weights, stage.beside, bench.device)
            if spec.open is not None:
                return spec, spec.open(stage.weights, bench.device)
    raise ConfigurationError(
        f"the upscaler '{stage.method}' of this plan is not offered as it was; see `stretto plugins list`"
    )


def _enlarged(image: Image.Image, step: Upscale, upscaler: Upscaler, bench: Bench) -> Image.Image:
    """Enlarge one picture; a seamless one with its other end beside it, which is cut off again."""
    amount, (across, down) = step.stage.amount, bench.plan.tile
    beside = min(_BESIDE_PX, image.width) * across, min(_BESIDE_PX, image.height) * down
    if not any(beside):
        return _whole(image, step, upscaler, bench)
    left, top = beside[0] * amount, beside[1] * amount
    box = left, top, left + image.width * amount, top + image.height * amount
    return _whole(wrapped(image, beside), step, upscaler, bench).crop(box)


def _whole(image: Image.Image, step: Upscale, upscaler: Upscaler, bench: Bench) -> Image.Image:
    amount = step.stage.amount
    if not isinstance(upscaler, TilingUpscaler):
        return upscaler.upscale(image, amount)
    whole = Image.new(image.mode, (image.width * amount, image.height * amount))
    for piece, at in upscaler.pieces(image, amount):
        whole.paste(piece, at)
        bench.tick(step.why, ticks=0)
    return whole
