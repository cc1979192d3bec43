from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from stretto.host import Family, Preprocessor, WeightFile, WeightKind
from stretto.host.errors import WeightsError
from stretto.plugins import controls
from stretto.plugins.controls import DETECTORS, register_controlnets, register_preprocessors

from .detectors import WRITTEN

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
        assert spec.weights.keys() == spec.sources.keys() == {Family.SD1, Family.SDXL}
        assert all(name.endswith((".pth", ".safetensors")) for name, *_ in spec.weights.values())


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


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_reads_its_files_and_keeps_the_size(picture, name, tmp_path, monkeypatch, capsys):
    """Random weights of the detector's own class, under the names that its files are published by."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    WRITTEN[name](tmp_path)
    maker = MAKERS[name]
    assert sorted(maker.files) == sorted(path.name for path in tmp_path.iterdir())
    capsys.readouterr()
    found = maker.open(files(*(tmp_path / file for file in maker.files)), "cpu").processed(picture)
    assert (found.size, found.mode) == (picture.size, "RGB")
    levels = np.asarray(found)
    # nobody is found by random weights, so that there is no pose to draw; the others say something of everything
    assert levels.any() != (name == "pose")
    assert capsys.readouterr().out == ""


def test_a_large_picture_is_looked_at_small_so_that_memory_does_not_grow_with_it(tmp_path, monkeypatch):
    assert controls.LARGEST_PX == 1024
    monkeypatch.setattr(controls, "LARGEST_PX", 128)
    WRITTEN["hed"](tmp_path)
    made = MAKERS["hed"].open(files(tmp_path / "ControlNetHED.pth"), "cpu")
    seen = []
    first = made.detect.netNetwork.block1.convs[0]
    listening = first.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    large = Image.new("RGB", (400, 200), "grey")
    assert made.processed(large).size == large.size
    listening.remove()
    assert seen == [(1, 3, 128, 256)]


@pytest.mark.parametrize("name", ["hed", "normal"])
def test_an_evil_pickle_is_refused_and_not_run(tmp_path, name):
    trace = tmp_path / "trace"
    for file in MAKERS[name].files:
        torch.save({"x": Evil(trace)}, tmp_path / file)
    with pytest.raises(WeightsError, match="cannot be opened"):
        MAKERS[name].open(files(*(tmp_path / file for file in MAKERS[name].files)), "cpu")
    assert not trace.exists()


class Evil:
    def __init__(self, trace: Any) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.trace),))


def test_a_file_of_another_network_is_named(tmp_path):
    path = tmp_path / "ControlNetHED.pth"
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match=r"ControlNetHED.pth cannot be opened as Soft edges by HED"):
        MAKERS["hed"].open(files(path), "cpu")
    path.write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"cannot be opened"):
        MAKERS["hed"].open(files(path), "cpu")
