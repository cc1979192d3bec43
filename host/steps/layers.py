"""Nodes on one canvas: laid as they are, pasted when they are drawn, and what they leave empty painted."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from ..contracts.plan import Node
from ..contracts.protocols import Bench, Frame
from ..contracts.steps import Diffuse, Fill, Flatten, Lay, Paste, Refine
from ..engine.fitting import lay, open_image
from ..engine.layers import Layer, blank, laid_over, landed, rest, settled_picture
from .background import cut_background
from .desk import put_down
from .diffuse import diffuse
from .refine import refine

__all__ = ["do_layers"]

# Between the seeds of two samples whose rest is painted: far above what nodes and iterations add.
SAMPLE_STRIDE = 100_000


def do_layers(step: Lay | Paste | Fill | Flatten, frame: Frame, bench: Bench) -> Frame:
    """Do one of the steps that bring nodes onto a canvas."""
    match step:
        case Lay():
            return _lay(step, frame, bench)
        case Paste():
            return _paste(step, frame, bench)
        case Fill():
            return _fill(step, frame, bench)
        case Flatten():
            return _flatten(step, frame, bench)


def _lay(step: Lay, frame: Frame, bench: Bench) -> Frame:
    """Give the node's image as it is, without its background if that is asked for; RGBA in the node's size."""
    bench.tick(step.why, ticks=0)
    node = step.node
    assert node.image is not None  # noqa: S101 - planned only for nodes with one
    source = open_image(node.image)
    if step.remover is not None:
        source = cut_background(source, step.remover, bench)
    return replace(frame, images=(lay(source, node),) * bench.plan.samples)


def _paste(step: Paste, frame: Frame, bench: Bench) -> Frame:
    """Lay each sample's picture of a node over its canvas."""
    bench.tick(step.why, ticks=0)
    plan, node = bench.plan, step.node
    layers: tuple[Layer, ...] = frame.layers or (blank((plan.width, plan.height)),) * plan.samples
    at = (node.bounds.left, node.bounds.top)
    # a subject that was cut out has its own soft edge
    exact = node.paste or node.paints or node.remove_background
    pictures = _as_opaque_as_given(node, frame.images)
    laid = tuple(
        laid_over(layer, picture, at, exact=exact) for layer, picture in zip(layers, pictures, strict=True)
    )
    return replace(frame, images=(), layers=laid)


def _as_opaque_as_given(node: Node, images: tuple[Image.Image, ...]) -> tuple[Image.Image, ...]:
    """Leave transparent what the node's image left so and nothing was drawn over."""
    levels = None if node.paste else landed(node)
    if levels is None:
        return images
    pictures = tuple(image.convert("RGBA") for image in images)
    for picture in pictures:
        picture.putalpha(levels)
    return pictures


def _fill(step: Fill, frame: Frame, bench: Bench) -> Frame:
    """Paint what the nodes left empty, one sample after the other, each from a seed of its own."""
    layers = []
    for index, layer in enumerate(frame.layers):
        left = rest(layer, step.remainder.feather_px)
        if left is None:
            bench.tick(step.why, ticks=step.ticks)
            layers.append(layer)
            continue
        node = replace(
            step.remainder.node,
            image=put_down(left.picture, "canvas", bench),
            mask=put_down(left.painted, "rest", bench),
            outpaint=False,
            seed_offset=index * SAMPLE_STRIDE,
        )
        picture = _painted(step, node, bench)
        layers.append(Layer(picture=picture.convert("RGBA"), soft=layer.soft))
    return replace(frame, layers=tuple(layers))


def _painted(step: Fill, node: Node, bench: Bench) -> Image.Image:
    drawn = diffuse(Diffuse(node=node, model=step.model, why=step.why, once=True), Frame(), bench)
    if step.refine is not None:
        again: Refine = replace(step.refine, node=node)
        drawn = refine(again, drawn, bench)
    (picture,) = drawn.images
    return picture


def _flatten(step: Flatten, frame: Frame, bench: Bench) -> Frame:
    """Give the canvases as pictures, RGB; RGBA where something stays empty."""
    bench.tick(step.why)
    return replace(frame, images=tuple(settled_picture(layer) for layer in frame.layers), layers=())
