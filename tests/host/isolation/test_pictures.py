from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from stretto.host.errors import PluginError
from stretto.host.isolation.pictures import given, put, segment

from .conftest import Rough

MODES = (
    *("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F"),
    *("LA", "PA", "RGBX", "RGBa", "La", "I;16", "I;16L", "I;16B"),
)
SIZES = ((1, 1), (3, 5), (17, 9), (640, 2), (2048, 2048))


@pytest.fixture
def memory() -> Iterator[int]:
    fd = segment()
    yield fd
    os.close(fd)


def _noise(mode: str, size: tuple[int, int]) -> Image.Image:
    image = Image.new(mode, size)
    image.frombytes(os.urandom(len(image.tobytes())))
    if mode in ("P", "PA"):
        image.putpalette(os.urandom(3 * 256))
    return image


def _same(one: Image.Image, other: Image.Image) -> bool:
    return (one.mode, one.size, one.tobytes(), one.getpalette()) == (
        other.mode,
        other.size,
        other.tobytes(),
        other.getpalette(),
    )


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_and_size_arrives_bit_by_bit(memory: int, mode: str) -> None:
    for size in SIZES[::-1]:  # smaller ones after larger ones, in the same memory
        image = _noise(mode, size)
        assert _same(given(memory, put(memory, image), "it"), image)


@pytest.mark.parametrize("clear", [3, b"\x00\x7f\xff", (1, 2, 3)])
def test_what_is_transparent_arrives(memory: int, clear: Any) -> None:
    image = _noise("RGB" if isinstance(clear, tuple) else "P", (4, 4))
    image.info["transparency"] = clear
    assert given(memory, put(memory, image), "it").info["transparency"] == clear


def test_a_palette_with_alpha_arrives(memory: int) -> None:
    image = Image.new("P", (2, 2))
    image.putpalette(os.urandom(4 * 256), "RGBA")
    there = given(memory, put(memory, image), "it")
    assert there.getpalette("RGBA") == image.getpalette("RGBA")


def test_large_memory_is_given_back(memory: int) -> None:
    put(memory, Image.new("RGB", (8192, 4096)))
    assert os.fstat(memory).st_size > 64 * 2**20
    put(memory, Image.new("RGB", (2, 2)))
    assert os.fstat(memory).st_size == 12


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"mode": "RGB", "size": [10**6, 10**6], "bytes": 100},
        {"mode": "RGB", "size": [6, 6], "bytes": 10},
        {"mode": "RGB", "size": [6, 6], "bytes": 10**9},
        {"mode": "ABC", "size": [6, 6], "bytes": 100},
        {"mode": "L", "size": ["6", 6], "bytes": 36},
        {"mode": "L", "size": [6], "bytes": 6},
        {"mode": "L", "size": [1, 1], "bytes": -5},
        {"mode": "L", "size": [-1, -1], "bytes": 1},
        {"mode": "P", "size": [1, 1], "bytes": 1, "palette": ["RGB", "not base64"]},
        {"mode": "RGB", "size": [0, 6], "bytes": 18},
        {"mode": "RGB", "size": [6, 6], "bytes": float("inf")},
        {"mode": "RGB", "size": [6, 6], "bytes": 108.0},
        {"mode": "RGB", "size": [6, 6], "bytes": 10**30},
        {"mode": "L", "size": [6, 6], "bytes": 36, "transparency": "?"},
        {"mode": "L", "size": [6, 6], "bytes": 36, "transparency": {"a": 1}},
        {"mode": "L", "size": [6, 6], "bytes": 36, "transparency": [1, "2"]},
    ],
)
def test_what_is_no_picture_is_refused(memory: int, said: dict[str, Any]) -> None:
    os.ftruncate(memory, 100)
    with pytest.raises(PluginError, match=r"^the plugin 'x' gave what is no picture: "):
        given(memory, said, "the plugin 'x'")


def test_no_more_is_read_than_may_be(memory: int) -> None:
    os.ftruncate(memory, 2**40)  # nothing of it is there yet
    said = {"mode": "L", "size": [2**20, 2**20], "bytes": 2**40}
    with pytest.raises(
        PluginError, match=r"gave what is no picture: it is said to have 1099511627776 bytes, and at most"
    ):
        given(memory, said, "the plugin 'x'", 2**26)


def test_pictures_through_a_plugin_come_back_as_they_were(rough: Rough, tmp_path: Path) -> None:
    plugin = rough()
    same = next(spec for spec in plugin.register_upscalers() if spec.name == "same").build("cpu")
    for mode in MODES:
        for size in ((1, 1), (31, 7)):
            image = _noise(mode, size)
            assert _same(same.upscale(image, 1), image), (mode, size)
    large = _noise("RGB", (2048, 2048))
    assert _same(same.upscale(large, 1), large)
