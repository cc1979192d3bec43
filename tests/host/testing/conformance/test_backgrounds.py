from __future__ import annotations

import pytest
from PIL import Image
from stretto.host import BackgroundRemoverSpec


class Good:
    def remove(self, image):
        cut = image.convert("RGBA")
        mask = cut.convert("L").point(lambda level: 255 if level < 100 else 0)
        cut.putalpha(Image.composite(cut.getchannel("A"), Image.new("L", cut.size), mask))
        return cut


class Flat(Good):
    def remove(self, image):
        return super().remove(image).convert("RGB")


class Bleached(Good):
    def remove(self, image):
        cut = super().remove(image)
        return Image.composite(cut, Image.new("RGBA", cut.size, (255, 255, 255, 0)), cut.getchannel("A"))


class Reviving(Good):
    def remove(self, image):
        cut = image.convert("RGBA")
        cut.putalpha(255)
        return cut


def spec_of(kind):
    return BackgroundRemoverSpec(name="mine", build=lambda _device: kind())


def test_what_keeps_its_promises_has_no_breach(breaches):
    assert breaches(spec_of(Good)) == {}


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (Flat, "it keeps the size, on the CPU", "give RGBA of the same size"),
        (Bleached, "it keeps the colours", "put the mask into the channel A"),
        (Reviving, "what was clear stays clear", "take the lesser of both masks"),
    ],
)
def test_a_broken_promise_is_said(kind, check, words, breaches):
    assert words in breaches(spec_of(kind))[check]


def test_one_that_is_made_in_no_way_is_said(breaches):
    assert "give either `build`" in breaches(BackgroundRemoverSpec(name="mine"))["it says how it is made"]
