"""Removing backgrounds: every picture so far through a network that some plugin offers."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from ..contracts.plan import Node, Remover
from ..contracts.protocols import BackgroundRemover, Bench, Frame
from ..contracts.specs import BackgroundRemoverSpec
from ..contracts.steps import RemoveBackground
from ..engine.device import out_of_memory_said
from ..engine.fitting import open_image
from ..errors import EngineError, PluginError
from .desk import put_down

__all__ = ["cut_background", "cut_out", "remove_background"]


def remove_background(step: RemoveBackground, frame: Frame, bench: Bench) -> Frame:
    """Give every picture as RGBA, transparent behind its subject; says so where no subject was found."""
    remover = _opened(step.remover, bench)
    images = []
    for index, image in enumerate(frame.images):
        bench.tick(step.why, ticks=0)
        cut = _removed(image, remover)
        if not cut.getchannel("A").getbbox():
            bench.note(
                f"'{step.remover.method}' found no subject in picture {index}: all of it is transparent"
            )
        images.append(cut)
    return replace(frame, images=tuple(images))


def cut_out(node: Node, bench: Bench) -> Node:
    """Give a node whose background is to be filled an image without it, in a file of this job's; else the node.

    Raises EngineError if the image is gone or nothing in it was found to be the subject.
    """
    remover = bench.plan.remover
    if not node.fill_background or node.image is None or remover is None:
        return node
    image = open_image(node.image)
    cut = _removed(image, _opened(remover, bench))
    if not cut.getchannel("A").getbbox():
        raise EngineError(
            f"'{remover.method}' found no subject in the image, so all of it would be filled; leave out "
            "fill_background, or give a mask"
        )
    return replace(node, image=put_down(cut, "cut", bench))


def cut_background(image: Image.Image, remover: Remover, bench: Bench) -> Image.Image:
    """Give a picture as RGBA, transparent behind its subject; says so where no subject was found."""
    cut = _removed(image, _opened(remover, bench))
    if not cut.getchannel("A").getbbox():
        bench.note(f"'{remover.method}' found no subject in an image: all of it is transparent")
    return cut


def _opened(remover: Remover, bench: Bench) -> BackgroundRemover:
    bench.tick(f"loading {remover.weights.name if remover.weights else remover.method}", ticks=0)
    spec: BackgroundRemoverSpec = bench.host.offer("background_removers", remover.method)
    made = _made(spec, remover, bench)
    return made if spec.adjusted is None else spec.adjusted(made, bench.host, bench.plan)


def _made(spec: BackgroundRemoverSpec, remover: Remover, bench: Bench) -> BackgroundRemover:
    if remover.weights is not None and spec.open is not None:
        return spec.open(remover.weights, bench.device)
    if spec.build is None:
        raise PluginError(
            f"the background remover '{remover.method}' is offered with neither `build` nor `files` to `open`"
        )
    return spec.build(bench.device)


def _removed(image: Image.Image, remover: BackgroundRemover) -> Image.Image:
    with out_of_memory_said(f"removing the background of {image.width} x {image.height} px"):
        return remover.remove(image)
