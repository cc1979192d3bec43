"""Restores one face: GFPGAN's network as spandrel has it, in whatever size its tensors are.

Wang et al. 2021, https://arxiv.org/abs/2101.04061.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from stretto.host import WeightsError

__all__ = ["Restorer", "open_restorer"]

# Channels of the network's narrow end and of its finest level, at `narrow` 1 and a multiplier of 1.
NARROW_END, FINEST = 256, 16
FINEST_PX = 512


@dataclass(frozen=True, slots=True)
class Restorer:
    """Restores faces of `side_px`; always from the noise in the file, so that it does so the same every time."""

    network: Any
    side_px: int
    device: str
    path: Path

    def restored(self, face: torch.Tensor) -> torch.Tensor:
        """Give a face in [-1, 1], (1, 3, side, side), with detail, clipped to the same range.

        Raises WeightsError when the network gives values that are not numbers.
        """
        with torch.inference_mode():
            made: torch.Tensor = self.network(face.to(self.device), return_rgb=False, randomize_noise=False)[
                0
            ]
        if not bool(torch.isfinite(made).all()):
            raise WeightsError(f"{self.path} gives values that are not numbers; download it again")
        return made.clamp(-1.0, 1.0).float().cpu()


def open_restorer(tensors: Mapping[str, Any], path: Path, device: str) -> Restorer:
    """Make the network of the tensors in `path`; raises WeightsError naming a file that is not GFPGAN's."""
    import spandrel
    from spandrel.architectures.GFPGAN import GFPGAN

    plain = spandrel.canonicalize_state_dict(dict(tensors))
    try:
        shape = _shape(plain)
        network = GFPGAN(**shape)
        network.load_state_dict(plain)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()[:20])
        raise WeightsError(
            f"{path} is not GFPGAN's clean network (versions 1.2 to 1.4): {reason}; download it again"
        ) from error
    return Restorer(network.eval().float().to(device), shape["out_size"], device, path)


def _shape(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Read from the tensors how large their network is: `out_size` in px, and how wide."""
    levels = sum(name.startswith("toRGB.") and name.endswith(".weight") for name in tensors)
    out_size = 2 ** (levels + 2)
    narrow = tensors["final_conv.weight"].shape[0] / NARROW_END
    finest = tensors["conv_body_first.weight"].shape[0]
    # levels from 64 px on have a multiplier; below, nothing tells it and the published 2 changes nothing
    at_one = FINEST * FINEST_PX / out_size * narrow
    return {
        "out_size": out_size,
        "num_style_feat": tensors["stylegan_decoder.style_mlp.1.weight"].shape[0],
        "num_mlp": sum(
            name.startswith("stylegan_decoder.style_mlp.") and name.endswith(".weight") for name in tensors
        ),
        "channel_multiplier": finest / at_one if out_size >= 64 else 2,  # noqa: PLR2004 - as the line above says
        "narrow": int(narrow) if narrow == int(narrow) else narrow,
    }
