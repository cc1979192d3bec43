"""The lengths that engines are built for."""

from __future__ import annotations

import pytest
from stretto.host.contracts.engines import AxisRange, Component
from stretto.host.engine.profiles import TOKENS, profile_of


def test_a_static_engine_takes_one_size_and_any_batch() -> None:
    profile = profile_of("static", Component.UNET, 512)
    assert profile["height"] == profile["width"] == AxisRange.only(64)
    assert profile["tokens"] == AxisRange.only(TOKENS)
    assert profile["batch"] == AxisRange(min=1, opt=2, max=16)


def test_large_models_take_fewer_rows() -> None:
    assert profile_of("static", Component.UNET, 1024)["batch"].max == 8


def test_a_range_holds_the_models_size_and_long_prompts() -> None:
    profile = profile_of("range", Component.CONTROLLED_UNET, 768)
    assert (profile["height"].min, profile["height"].opt, profile["height"].max) == (8, 96, 256)
    assert profile["tokens"].holds(3 * TOKENS)


def test_a_range_reaches_to_sizes_beyond_its_ends() -> None:
    assert profile_of("range", Component.UNET, 32)["width"].min == 4
    assert profile_of("range", Component.UNET, 4096)["width"].max == 512


@pytest.mark.parametrize("component", [Component.VAE_DECODER, Component.VAE_ENCODER])
def test_a_vae_has_no_tokens(component: Component) -> None:
    assert set(profile_of("static", component, 512)) == {"batch", "height", "width"}


def test_a_text_encoder_has_a_batch_alone() -> None:
    assert set(profile_of("range", Component.TEXT_ENCODER, 512)) == {"batch"}
