from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from stretto.host import Preprocessor, WeightFile, WeightKind
from stretto.host.errors import WeightsError
from stretto.plugins.controls import DETECTORS, register_controlnets, register_preprocessors

MAKERS = {spec.name: spec for spec in register_preprocessors()}


@pytest.fixture
def picture() -> Image.Image:
    image = Image.new("RGB", (100, 72), (30, 90, 200))
    ImageDraw.Draw(image).ellipse((20, 10, 80, 60), fill=(230, 40, 20))
    return image


def files(*paths: Any) -> tuple[WeightFile, ...]:
    return tuple(WeightFile(path=str(path), kind=WeightKind.PREPROCESSOR, name=path.name) for path in paths)


def test_canny_is_opencvs_at_100_and_200(picture):
    maker = MAKERS["canny"].open((), "cpu")
    assert isinstance(maker, Preprocessor)
    found = np.asarray(maker.processed(picture))
    expected = cv2.Canny(np.asarray(picture), 100, 200)
    assert found.shape == (72, 100, 3)
    assert (found == expected[..., None]).all()
    assert set(np.unique(found)) == {0, 255}


def test_every_name_has_its_preprocessor():
    for spec in register_controlnets():
        assert spec.preprocessor is None or spec.preprocessor in MAKERS
        assert spec.weights.keys() == spec.sources.keys()


def test_every_detector_is_one_of_controlnet_auxs(picture, recwarn):
    from importlib import import_module

    for aux in DETECTORS.values():
        module, _, kind = aux.kind.partition(".")
        recwarn.clear()
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = getattr(import_module(f"controlnet_aux.{module}"), kind)
        assert callable(found.from_pretrained)


@pytest.fixture(scope="module")
def hed(tmp_path_factory: Any) -> Any:
    """Write HED's weights, random, as its file has them."""
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from controlnet_aux.hed import ControlNetHED_Apache2
    path = tmp_path_factory.mktemp("preprocessor") / "ControlNetHED.pth"
    torch.manual_seed(0)
    torch.save(ControlNetHED_Apache2().state_dict(), path)
    return path


@pytest.mark.parametrize("name", ["hed", "scribble"])
def test_a_detector_reads_its_file_and_keeps_the_size(hed, picture, name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = MAKERS[name].open(files(hed), "cpu").processed(picture)
    assert (found.size, found.mode) == (picture.size, "RGB")


def test_a_file_of_another_network_is_named(tmp_path):
    import torch

    path = tmp_path / "ControlNetHED.pth"
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match=r"ControlNetHED.pth cannot be opened as Soft edges by HED"):
        MAKERS["hed"].open(files(path), "cpu")
    path.write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"cannot be opened"):
        MAKERS["hed"].open(files(path), "cpu")
