"""Making an inpainting model of another one: add to it what that one has learnt beyond the base of both."""

from __future__ import annotations

import torch

from ..contracts.protocols import LoadedModel
from ..errors import WeightsError
from .components import networks

__all__ = ["add_difference"]

_FIRST = "conv_in.weight"  # the one tensor of an inpainting UNet that is wider than the others'


@torch.no_grad()
def add_difference(into: LoadedModel, model: LoadedModel, base: LoadedModel) -> LoadedModel:
    """Add `model` less `base` to the weights of `into`, in place, and give it back.

    The three are of one architecture, but for more input channels of the UNet of `into`: what it
    sees beside the latents stays as it learnt it. Raises WeightsError where they are not.
    """
    for target, more, less in zip(networks(into), networks(model), networks(base), strict=True):
        ours, theirs, before = target.state_dict(), more.state_dict(), less.state_dict()
        if not ours.keys() == theirs.keys() == before.keys():
            raise _unlike(into, model, base)
        for name, weight in ours.items():
            if not weight.is_floating_point():
                continue
            after, was = theirs[name], before[name]
            part = weight[:, : after.shape[1]] if name == _FIRST else weight
            if not part.shape == after.shape == was.shape:
                raise _unlike(into, model, base)
            part.copy_(part.float() + (after.float() - was.float()))
    return into


def _unlike(into: LoadedModel, model: LoadedModel, base: LoadedModel) -> WeightsError:
    paths = [one.spec.weights.path for one in (into, model, base)]
    return WeightsError(
        f"{paths[0]} cannot be made to fill masks as {paths[1]} would: that and {paths[2]} are not of its "
        "architecture; name an `inpainter`."
    )
