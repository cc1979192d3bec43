from __future__ import annotations

import pytest
from PIL import Image
from stretto.host import ControlNetSpec, Family, PreprocessorSpec
from stretto.host.testing import assert_conforms
from stretto.host.testing.controls import make_tiny_controlnet

URL = "https://example.org/net.safetensors"


class Same:
    def processed(self, image):
        return image.convert("RGB")


class Square(Same):
    def processed(self, image):
        return image.resize((64, 64))


class Grey(Same):
    def processed(self, image):
        return image.convert("L")


class Painter(Same):
    def processed(self, image):
        image.paste(0, (0, 0, 1, 1))
        return image.copy()


class Restless(Same):
    def processed(self, image):
        return Image.effect_noise(image.size, 50).convert("RGB")


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (Square, "it keeps the size and gives RGB, on the CPU", "give RGB of the same size"),
        (Grey, "it keeps the size and gives RGB, on the CPU", "it makes L of 64 x 48"),
        (Painter, "it keeps the size and gives RGB, on the CPU", "copy it before you draw into it"),
        (Restless, "the same picture gives the same picture", "draw nothing at random"),
    ],
)
def test_a_preprocessors_broken_promise_is_said(kind, check, words, breaches):
    assert words in breaches(PreprocessorSpec(name="mine", open=lambda _files, _device: kind()))[check]


def test_a_preprocessor_that_takes_any_file_is_said(breaches):
    spec = PreprocessorSpec(name="mine", open=lambda _files, _device: Same(), files={"a.pth": ""})
    found = breaches(spec)
    assert "the file a.pth has the source ''" in found["its files have sources"]
    assert "is taken without a word" in found["errors are ours"]


def test_a_controlnet_is_loaded_from_what_is_given(supplies, tmp_path):
    spec = ControlNetSpec(name="mine", weights={Family.SD1: ("net",)}, sources={Family.SD1: URL})
    tiny = make_tiny_controlnet(tmp_path / "net", supplies.tiny(Family.SD1))
    assert not assert_conforms(spec, files={"net": tiny}, supplies=supplies).skipped
    assert "needs net" in assert_conforms(spec, supplies=supplies).skipped[0].detail


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": {}}, "`weights` is empty"),
        ({"weights": {"sd1.5": ("net",)}}, "the key 'sd1.5'; known: sd1"),
        ({"weights": {Family.SD1: "net"}}, "write a tuple of file or folder names"),
        ({"sources": {}}, "`sources` has no URL for sd1"),
    ],
)
def test_a_controlnets_words_are_checked(changes, words, breaches):
    said = {"weights": {Family.SD1: ("net",)}, "sources": {Family.SD1: URL}}
    assert (
        words
        in breaches(ControlNetSpec(name="mine", **{**said, **changes}))["its weights have names and sources"]
    )
