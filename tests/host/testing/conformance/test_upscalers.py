# ruff: noqa: ARG002 - stand-ins take what protocols give them
from __future__ import annotations

import pytest
from PIL import Image
from stretto.host import UpscalerSpec
from stretto.host.testing import assert_conforms
from stretto.host.testing.networks import make_tiny_esrgan
from stretto.plugins.superres import Settings, _load


class Up:
    """Enlarges as it should, but for what a test says."""

    def upscale(self, image, amount):
        return image.resize((image.width * amount, image.height * amount), Image.Resampling.NEAREST)


class Narrow(Up):
    def upscale(self, image, amount):
        return super().upscale(image, amount).crop((0, 0, image.width * amount - 1, image.height * amount))


class Opaque(Up):
    def upscale(self, image, amount):
        return super().upscale(image.convert("RGB"), amount)


class Blind(Up):
    def upscale(self, image, amount):
        large = super().upscale(image, amount)
        if image.mode == "RGBA":
            large.putalpha(255)
        return large


class Painter(Up):
    def upscale(self, image, amount):
        image.paste(0, (0, 0, 1, 1))
        return super().upscale(image, amount)


class Restless(Up):
    count = 0

    def upscale(self, image, amount):
        Restless.count += 1
        large = super().upscale(image, amount)
        large.paste(Restless.count % 200, (0, 0, 1, 1))
        return large


class Holed(Up):
    def pieces(self, image, amount):
        yield super().upscale(image.crop((0, 0, 8, 8)), amount), (0, 0)


class Rude(Up):
    def upscale(self, image, amount):
        raise ValueError("no")


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (Narrow, "it enlarges tiny and odd sizes on the CPU", "must be 2 x 2: resize what the network gives"),
        (Opaque, "it keeps the mode RGBA", "a picture in RGBA comes back in RGB"),
        (Blind, "it keeps the mode RGBA", "transparency is lost"),
        (Painter, "it enlarges tiny and odd sizes on the CPU", "copy it before you draw into it"),
        (Restless, "the same picture gives the same picture", "draw nothing at random"),
        (Holed, "its pieces make up the picture", "`pieces` leaves gaps"),
        (Rude, "it keeps the mode L", "raised ValueError: no"),
    ],
)
def test_a_broken_promise_is_said(kind, check, words, breaches):
    assert words in breaches(UpscalerSpec(name="mine", build=lambda _device: kind()))[check]


def test_one_object_for_all_is_said_and_checked_on(breaches):
    one = Opaque()
    found = breaches(UpscalerSpec(name="mine", build=lambda _device: one))
    assert "gave one object twice" in found["build twice gives two objects"]
    assert "comes back in RGB" in found["it keeps the mode RGBA"]


def test_a_foreign_error_on_a_broken_file_is_said(breaches):
    def opened(weights, device):
        raise OSError("what is this?")

    spec = UpscalerSpec(name="mine", files=("a.pth",), source="https://example.org/a.pth", open=opened)
    assert "it raises OSError: what is this?" in breaches(spec)["errors are ours"]


def test_ways_to_be_made_are_one(breaches):
    def no(*_given):
        raise AssertionError

    found = breaches(UpscalerSpec(name="mine"))
    assert "neither build, open nor assemble" in found["it says how it is made"]
    found = breaches(UpscalerSpec(name="mine", files=("a.pth",), open=no))
    assert "give the URL of a.pth" in found["it says how it is made"]


def test_files_that_are_given_are_used_and_others_are_asked_for(tmp_path, supplies):
    spec = UpscalerSpec(
        name="mine", files=("a.pth",), source="https://example.org/a.pth",
        open=lambda weights, device: _load(Settings(), weights, device),
    )  # fmt: skip
    without = assert_conforms(spec, supplies=supplies)
    assert "needs a.pth" in without.skipped[0].detail
    tiny = make_tiny_esrgan(tmp_path / "a.pth")
    given = assert_conforms(spec, files={"a.pth": tiny}, supplies=supplies)
    assert not given.skipped
    assert len(given.rows) == len(without.rows)
