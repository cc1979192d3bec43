from __future__ import annotations

from pathlib import Path

import pytest
from stretto.host import Family
from stretto.plugins import starter


def test_offers_the_packaged_folder(starter_path: Path) -> None:
    offer, *_ = starter.register_models()
    assert offer.name == "starter"
    assert Path(offer.path) == starter_path
    assert offer.family is Family.SD1
    assert offer.size_px == 128


def test_offers_nothing_without_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(starter, "MODEL", tmp_path / "model")
    assert list(starter.register_models()) == []


def test_offers_its_controlnets_where_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, starter_path: Path
) -> None:
    folder = tmp_path / "canny-controlnet"
    monkeypatch.setattr(starter, "CONTROLNETS", {"canny": folder})
    offer, *_ = starter.register_models()
    assert offer.controlnets == {}
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    offer, *_ = starter.register_models()
    assert offer.controlnets == {"canny": str(folder)}


@pytest.mark.usefixtures("starter_path")
def test_offers_its_inpainter_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "inpainting-unet"
    monkeypatch.setattr(starter, "INPAINTING", folder)
    (offer,) = starter.register_models()
    assert offer.inpainter is None
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    offer, fills = starter.register_models()
    assert (
        (offer.inpainter, fills.parts_from) == (fills.name, offer.name) == ("starter-inpainting", "starter")
    )
    assert (fills.path, fills.size_px, fills.defaults) == (str(folder), offer.size_px, offer.defaults)
