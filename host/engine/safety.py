"""Which pictures the safety checker of Stable Diffusion flags, as diffusers' pipelines ask it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..contracts.protocols import LoadedModel

__all__ = ["flags"]


@torch.inference_mode()
def flags(checker: LoadedModel, images: Sequence[Image.Image]) -> tuple[bool, ...]:
    """Say of each picture whether it is flagged; one after the other, so that memory does not grow.

    `checker.unet` is diffusers' StableDiffusionSafetyChecker, and its one tokenizer a CLIPImageProcessor.
    """
    network, (processor,) = checker.unet, checker.tokenizers
    weight = next(network.parameters())
    found = []
    for image in images:
        pixels = processor(image.convert("RGB"), return_tensors="pt").pixel_values  # (1, 3, 224, 224)
        # it blackens what it flags in the array that it is given; ours is a stand-in
        stand_in = [np.zeros((1, 1, 3), dtype=np.float32)]
        with _silent(network):
            _, (flag,) = network(clip_input=pixels.to(weight.device, weight.dtype), images=stand_in)
        found.append(bool(flag))
    return tuple(found)


@contextmanager
def _silent(network: Any) -> Iterator[None]:
    """Keep diffusers from logging that a black picture is given; ours are withheld, and the record says so."""
    logger = logging.getLogger(type(network).__module__)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
