from __future__ import annotations

import pytest
from PIL import Image
from stretto.host import Upscaler
from stretto.plugins.resamplers import register_upscalers

SPECS = {spec.name: spec for spec in register_upscalers()}


def test_the_words_of_the_contract() -> None:
    assert list(SPECS) == ["lanczos", "bilinear", "bicubic", "nearest"]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("amount", [1, 2, 4])
def test_both_sides_grow_by_the_amount(name: str, amount: int) -> None:
    upscaler = SPECS[name].build("cpu")
    assert isinstance(upscaler, Upscaler)
    assert upscaler.upscale(Image.new("RGB", (6, 10), "red"), amount).size == (6 * amount, 10 * amount)


def test_each_filter_is_another() -> None:
    step = Image.new("L", (8, 8))
    step.paste(255, (4, 0, 8, 8))
    results = {SPECS[name].build("cpu").upscale(step, 4).tobytes() for name in SPECS}
    assert len(results) == 4


def test_nearest_makes_no_new_colour() -> None:
    step = Image.new("L", (2, 1))
    step.putpixel((1, 0), 255)
    assert set(SPECS["nearest"].build("cpu").upscale(step, 8).tobytes()) == {0, 255}
