"""Control images of a node: fitted to its canvas, processed, and handed to the engine with their ControlNets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import torch
from PIL import Image, ImageOps

from ..contracts.models import ModelSpec, Role, WeightFile
from ..contracts.plan import Control, Follower, Node, Preprocessing
from ..contracts.protocols import Bench, LoadedModel, Preprocessor
from ..contracts.specs import PreprocessorSpec
from ..engine.components import home_of
from ..engine.conditioning import Conditions
from ..engine.control import Controls, Guide, folded
from ..engine.fitting import cut, fill_up, flat, lay, open_image
from ..engine.images import to_pixels
from ..engine.latents import Mosaic
from ..engine.regions import Regions
from ..errors import WeightsError

__all__ = ["control_image", "controlled", "following"]

M = TypeVar("M", bound=Mosaic | Regions)


def controlled(
    node: Node, model: LoadedModel, guides: Conditions, mosaic: M, bench: Bench
) -> tuple[Conditions, M]:
    """Give conditions with the node's ControlNets, and windows that cut their pictures along.

    Raises WeightsError naming a ControlNet that is made for a UNet of another size.
    """
    networks = [_network(control.weights, model, bench) for control in node.controls]
    pictures = torch.cat([_cells(control, node, bench) for control in node.controls], dim=1)
    pictures = pictures.repeat(bench.plan.samples, 1, 1, 1).to(home_of(model.unet))
    beside = pictures if mosaic.beside is None else torch.cat([mosaic.beside, pictures], dim=1)
    controls = Controls(
        guides=tuple(
            Guide(network=network, scale=control.scale, start=control.start, end=control.end)
            for network, control in zip(networks, node.controls, strict=True)
        ),
        unet_channels=model.unet.config.in_channels,
    )
    return replace(guides, controls=controls), replace(mosaic, beside=beside)


def following(
    control: Follower, picture: Image.Image, model: LoadedModel, over: tuple[Conditions, Mosaic], bench: Bench
) -> tuple[Conditions, Mosaic]:
    """Give `over`, conditions and windows, with a ControlNet that follows the RGB picture drawn over.

    The picture is in whole cells. Raises WeightsError naming a ControlNet for a UNet of another size.
    """
    guides, mosaic = over
    guide = Guide(network=_network(control.weights, model, bench), scale=control.scale)
    seen = _processed(control.preprocessing, picture, bench)
    controls = Controls(guides=(guide,), unet_channels=model.unet.config.in_channels)
    beside = folded(to_pixels([seen]) / 2 + 0.5).to(home_of(model.unet))
    return replace(guides, controls=controls), replace(mosaic, beside=beside)


def control_image(control: Control, node: Node, bench: Bench) -> Image.Image:
    """Give what a ControlNet sees: its image on the canvas that is drawn, processed or inverted, RGB."""
    # lines are white on black, after what is to be inverted was
    laid = flat(lay(open_image(control.image), node), "white" if control.invert else "black")
    picture = fill_up(cut(laid, node.drawn), node.canvas_px)
    picture = _processed(control.preprocessing, picture, bench)
    return ImageOps.invert(picture) if control.invert else picture


def _processed(how: Preprocessing | None, picture: Image.Image, bench: Bench) -> Image.Image:
    if how is None:
        return picture
    bench.tick(f"processing the control image by {how.method}", ticks=0)
    spec: PreprocessorSpec = bench.host.offer("preprocessors", how.method)
    preprocessor: Preprocessor = spec.open(how.weights, bench.device)
    if spec.adjusted is not None:
        preprocessor = spec.adjusted(preprocessor, bench.host, bench.plan)
    return preprocessor.processed(picture)


def _cells(control: Control, node: Node, bench: Bench) -> torch.Tensor:
    return folded(to_pixels([control_image(control, node, bench)]) / 2 + 0.5)


def _network(weights: WeightFile, model: LoadedModel, bench: Bench) -> Any:
    spec = ModelSpec(role=Role.CONTROLNET, weights=weights, precision=bench.plan.precision)
    network = bench.model(spec).unet
    for name in ("cross_attention_dim", "block_out_channels"):
        ours, wanted = network.config[name], model.unet.config[name]
        if _plain(ours) != _plain(wanted):
            raise WeightsError(
                f"The ControlNet {weights.path} is made for a UNet with {name} {ours}, and that of "
                f"'{model.spec.weights.name or model.spec.weights.path}' has {wanted}; name another one."
            )
    return network


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
