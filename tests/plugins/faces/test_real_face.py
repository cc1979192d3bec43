"""A real network's say about a real face, through our anchors, offsets and choice: RetinaFace over MobileNet.

The weights that GFPGAN is used with are in no package; these ones are of the same kind, with the same anchors.
"""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from skimage import data
from stretto.plugins.faces.detection import Finder
from stretto.plugins.faces.restoring import TEMPLATE, Faces

# Of scikit-image's astronaut (by NASA, in the public domain), by eye: eyes, nose, mouth corners.
SEEN = np.array([(204, 101), (246, 103), (223, 128), (204, 140), (244, 141)])


@pytest.fixture(scope="module")
def finder(fetched):
    spec = importlib.util.spec_from_file_location("weights", fetched / "retinaface" / "weights.py")
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
    session = onnxruntime.InferenceSession(weights.WEIGHTS, providers=["CPUExecutionProvider"])

    def network(pixels):
        boxes, classes, points = (
            torch.from_numpy(said[0]) for said in session.run(None, {"input": pixels.numpy()})
        )
        return classes[:, 1], boxes, points

    return Finder(network, "cpu")


@pytest.fixture(scope="module")
def portrait():
    return Image.fromarray(data.astronaut())


@pytest.mark.parametrize("scale", [0.5, 1, 4])
def test_a_face_is_found_where_it_is(finder, portrait, scale):
    """Also in a picture of 2048 px, which is looked at in 1024."""
    size = round(portrait.width * scale), round(portrait.height * scale)
    (five,) = finder.landmarks(portrait.resize(size))
    assert np.abs(five / scale - SEEN).max() < 6


def test_none_is_found_where_none_is(finder, portrait):
    assert finder.landmarks(portrait.crop((0, 200, 256, 512))) == []


def test_a_face_is_brought_upright_and_back(finder, portrait):
    """The restorer sees eyes and mouth where its faces have them; what it leaves as it is, is laid back as it was."""
    seen = []
    keeping = SimpleNamespace(side_px=512, restored=lambda face: seen.append(face) or face)
    everything = SimpleNamespace(mask=lambda face: np.ones(face.shape[2:]))
    around = SimpleNamespace(pieces=lambda image, _amount: iter([(image.resize((1024, 1024)), (0, 0))]))
    turned = portrait.rotate(25, Image.Resampling.BICUBIC, center=(225, 125))
    (five,) = finder.landmarks(turned)
    made = Faces(finder, keeping, everything, around).upscale(turned, 2)
    (upright,) = seen
    levels = ((upright[0].permute(1, 2, 0).numpy() + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    (again,) = finder.landmarks(Image.fromarray(levels))
    assert np.abs(again - TEMPLATE).max() < 20
    large = np.asarray(turned.resize((1024, 1024)), int)
    x, y = (five.mean(axis=0) * 2).astype(int)
    around_it = slice(y - 60, y + 60), slice(x - 60, x + 60)
    difference = cv2.absdiff(np.asarray(made)[around_it], large.astype(np.uint8)[around_it])
    assert difference.mean() < 6
