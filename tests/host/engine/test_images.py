"""Pictures to tensors and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from stretto.host.engine.images import to_images, to_pixels
from stretto.host.errors import EngineError


def test_every_level_survives_the_way_there_and_back():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.fromarray(np.stack([levels, levels.T, 255 - levels], axis=-1))
    pixels = to_pixels([picture, picture])
    assert pixels.shape == (2, 3, 16, 16)
    assert (float(pixels.min()), float(pixels.max())) == (-1.0, 1.0)
    back = to_images(pixels)
    assert [image.tobytes() for image in back] == [picture.tobytes()] * 2


def test_values_outside_are_clipped():
    (image,) = to_images(torch.tensor([-3.0, 0.0, 3.0]).view(1, 3, 1, 1))
    assert image.getpixel((0, 0)) == (0, 128, 255)


@pytest.mark.parametrize("value", [float("nan")])
def test_what_is_no_number_is_an_error_with_advice(value):
    with pytest.raises(EngineError, match=r"float16.*bfloat16 or float32"):
        to_images(torch.full((1, 3, 2, 2), value, dtype=torch.float16))
