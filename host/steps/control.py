"""Control images of a node: fitted to its canvas, processed, and handed to the engine with their ControlNets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from PIL import Image, ImageOps

from ..contracts.models import ModelSpec, Role
from ..contracts.plan import Control, Node
from ..contracts.protocols import Bench, LoadedModel, Preprocessor
from ..engine.conditioning import Conditions
from ..engine.control import Controls, Guide, folded
from ..engine.fitting import cut, fill_up, flat, lay, open_image
from ..engine.images import to_pixels
from ..engine.latents import Mosaic
from ..errors import WeightsError

__all__ = ["control_image", "controlled"]


def controlled(
    node: Node, model: LoadedModel, guides: Conditions, mosaic: Mosaic, bench: Bench
) -> tuple[Conditions, Mosaic]:
    """Give conditions with the node's ControlNets, and windows that cut their pictures along.

    Raises WeightsError naming a ControlNet that is made for a UNet of another size.
    """
    networks = [_network(control, model, bench) for control in node.controls]
    pictures = torch.cat([_cells(control, node, bench) for control in node.controls], dim=1)
    pictures = pictures.repeat(bench.plan.samples, 1, 1, 1).to(model.unet.device)
    beside = pictures if mosaic.beside is None else torch.cat([mosaic.beside, pictures], dim=1)
    controls = Controls(
        guides=tuple(
            Guide(network=network, scale=control.scale, start=control.start, end=control.end)
            for network, control in zip(networks, node.controls, strict=True)
        ),
        unet_channels=model.unet.config.in_channels,
    )
    return replace(guides, controls=controls), replace(mosaic, beside=beside)


def control_image(control: Control, node: Node, bench: Bench) -> Image.Image:
    """Give what a ControlNet sees: its image on the canvas that is drawn, processed or inverted, RGB."""
    laid = flat(lay(open_image(control.image), node))
    picture = fill_up(cut(laid, node.drawn), node.canvas_px)
    if control.preprocessing is not None:
        method = control.preprocessing.method
        bench.tick(f"processing the control image by {method}", ticks=0)
        spec = bench.host.offer("preprocessors", method)
        preprocessor: Preprocessor = spec.open(control.preprocessing.weights, bench.device)
        picture = preprocessor.processed(picture)
    return ImageOps.invert(picture) if control.invert else picture


def _cells(control: Control, node: Node, bench: Bench) -> torch.Tensor:
    return folded(to_pixels([control_image(control, node, bench)]) / 2 + 0.5)


def _network(control: Control, model: LoadedModel, bench: Bench) -> Any:
    spec = ModelSpec(role=Role.CONTROLNET, weights=control.weights, precision=bench.plan.precision)
    network = bench.model(spec).unet
    for name in ("cross_attention_dim", "block_out_channels"):
        ours, wanted = network.config[name], model.unet.config[name]
        if _plain(ours) != _plain(wanted):
            raise WeightsError(
                f"The ControlNet {control.weights.path} is made for a UNet with {name} {ours}, and that of "
                f"'{model.spec.weights.name or model.spec.weights.path}' has {wanted}; name another one."
            )
    return network


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
