"""UNets that come alone: offered with the model that has their other parts, known again in a recorded plan."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from stretto.host.catalog.library import Library
from stretto.host.catalog.probe import probe
from stretto.host.contracts.models import Family, WeightKind
from stretto.host.contracts.specs import ModelOffer
from stretto.host.errors import BadRequestError, WeightsError
from stretto.host.settings import Folders


@pytest.fixture
def unet(tmp_path: Path, tiny_inpainter: Path) -> Path:
    """Give a folder with a UNet of nine channels and nothing else."""
    return Path(shutil.copytree(tiny_inpainter / "unet", tmp_path / "filling"))


def library_of(tmp_path: Path, tiny_sd1: Path, unet: Path, **changes: object) -> Library:
    folders = Folders(tmp_path / "data")
    folders.create()
    base = ModelOffer(name="base", path=str(tiny_sd1), family=Family.SD1, size_px=64)
    fills = ModelOffer(name="fills", path=str(unet), family=Family.SD1, size_px=64, parts_from="base")
    return Library(folders, {"base": base, "fills": replace(fills, **changes)})


def test_a_folder_with_a_unet_is_known(unet: Path) -> None:
    file = probe(unet)
    assert (file.kind, file.in_channels, file.parts_from) == (WeightKind.UNET, 9, None)
    assert file.size_bytes > 0


def test_an_offer_says_whose_the_other_parts_are(tmp_path: Path, tiny_sd1: Path, unet: Path) -> None:
    library = library_of(tmp_path, tiny_sd1, unet)
    for kinds in ((), ("diffusers", "checkpoint"), ("unet",)):
        file = library.resolve("fills", kinds)
        assert (file.name, file.kind, file.family, file.size_px) == ("fills", "unet", "sd1", 64)
        assert file.parts_from == library.resolve("base")
    assert file.prediction_type == "epsilon"
    assert len({file.fingerprint, library.resolve("base").fingerprint}) == 2


def test_the_other_parts_may_be_of_a_model_in_the_folders(tmp_path: Path, tiny_sd1: Path, unet: Path) -> None:
    library = library_of(tmp_path, tiny_sd1, unet, parts_from="mine")
    shutil.copytree(tiny_sd1, tmp_path / "data" / "models" / "diffusers" / "mine")
    with pytest.raises(
        WeightsError, match=r"'fills' \(sdxl\) has its other parts from 'mine', which is of .* sd1"
    ):
        library_of(tmp_path, tiny_sd1, unet, parts_from="mine", family=Family.SDXL).resolve("fills")
    parts = library.resolve("fills").parts_from
    assert parts is not None
    assert parts.name == "mine"


@pytest.mark.parametrize(
    ("parts_from", "told"),
    [
        (None, "must say in `parts_from`"),
        ("fills", "which is a UNet alone"),
        ("other", "which is a UNet alone"),
    ],
)
def test_offers_that_say_it_wrong(
    tmp_path: Path, tiny_sd1: Path, unet: Path, parts_from: str | None, told: str
) -> None:
    library = library_of(tmp_path, tiny_sd1, unet, parts_from=parts_from, aliases=("other",))
    with pytest.raises(WeightsError, match=told):
        library.resolve("fills")


def test_a_unet_in_the_model_folders_is_no_model(tmp_path: Path, tiny_sd1: Path, unet: Path) -> None:
    library = library_of(tmp_path, tiny_sd1, unet)
    shutil.copytree(unet, tmp_path / "data" / "models" / "diffusers" / "mine")
    with pytest.raises(BadRequestError, match="'mine' is no model but weights of the kind 'unet'"):
        library.resolve("mine")
