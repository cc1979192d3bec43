from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stretto.host.catalog import library as library_module
from stretto.host.catalog.library import Library
from stretto.host.contracts.models import Family, WeightKind
from stretto.host.contracts.specs import ModelOffer, VaeSpec
from stretto.host.errors import BadRequestError, NotFoundError, WeightsError
from stretto.host.settings import Folders
from stretto.host.testing.tiny import make_ldm_checkpoint

VAES = {
    "mse": VaeSpec(name="mse", aliases=("soft",), files=("vae-mse.safetensors",), families=(Family.SD1,)),
    "xl": VaeSpec(
        name="xl",
        files=("sdxl_vae.safetensors", "sdxl-vae"),
        families=(Family.SDXL,),
        source="https://example.org/xl.safetensors",
    ),
}


@pytest.fixture
def folders(tmp_path: Path, tiny_sd1: Path) -> Folders:
    """A data directory with one checkpoint, one of its copies deeper down, a folder and a VAE."""
    folders = Folders(tmp_path / "data")
    folders.create()
    single = make_ldm_checkpoint(tiny_sd1, folders.model_folder("checkpoint") / "painter.safetensors")
    deeper = folders.model_folder("checkpoint") / "sub"
    deeper.mkdir()
    shutil.copy(single, deeper / "deeper.safetensors")
    shutil.copytree(tiny_sd1, folders.model_folder("diffusers") / "folder-model")
    shutil.copy(
        tiny_sd1 / "vae" / "diffusion_pytorch_model.safetensors",
        folders.model_folder("vae") / "vae-mse.safetensors",
    )
    (folders.model_folder("checkpoint") / "notes.txt").write_text("not weights")
    return folders


@pytest.fixture
def library(folders: Folders, tiny_sd1: Path) -> Library:
    offer = ModelOffer(name="starter", aliases=("first",), path=str(tiny_sd1), family=Family.SD1, size_px=128)
    return Library(folders, {"starter": offer})


def test_lists_base_names_of_weights_however_deep(library: Library) -> None:
    assert library.names("checkpoint") == ["deeper.safetensors", "painter.safetensors"]
    assert library.names("diffusers") == ["folder-model"]
    assert library.names("vae") == ["vae-mse.safetensors"]
    assert library.names("lora") == []


def test_an_offer_wins_and_keeps_its_own_facts(library: Library, tiny_sd1: Path) -> None:
    for word in ("starter", "first"):
        file = library.resolve(word)
        assert (file.name, file.path, file.size_px) == ("starter", str(tiny_sd1), 128)


@pytest.mark.parametrize(
    "name",
    ["deeper.safetensors", "deeper", "sub/deeper.safetensors", "checkpoint/sub/deeper.safetensors", "./sub/deeper.safetensors"],
)  # fmt: skip
def test_finds_by_file_name_stem_and_path(name: str, library: Library, folders: Folders) -> None:
    found = library.resolve(name)
    assert Path(found.path) == folders.model_folder("checkpoint") / "sub" / "deeper.safetensors"


def test_finds_by_absolute_path_inside_the_folders(library: Library, folders: Folders) -> None:
    path = folders.model_folder("checkpoint") / "painter.safetensors"
    assert library.resolve(str(path)).name == "painter.safetensors"


def test_kinds_narrow_the_search(library: Library) -> None:
    assert library.resolve("folder-model", ["diffusers"]).kind is WeightKind.DIFFUSERS
    with pytest.raises(NotFoundError):
        library.resolve("folder-model", ["checkpoint"])
    assert library.resolve("starter", ["checkpoint"]).name == "starter"
    with pytest.raises(NotFoundError):
        library.resolve("starter", ["lora"])
    with pytest.raises(BadRequestError, match="did you mean 'checkpoint'"):
        library.resolve("x", ["checkpoints"])


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd",
        "/etc/passwd",
        "../outside.safetensors",
        "absent.safetensors",
        "sub/absent.ckpt",
        "/absent.safetensors",
        "..",
    ],
)
def test_a_path_outside_or_absent_is_refused_with_what_was_tried(
    name: str, library: Library, folders: Folders, tiny_sd1: Path
) -> None:
    make_ldm_checkpoint(tiny_sd1, folders.root / "outside.safetensors", companion=False)
    with pytest.raises(BadRequestError, match=r"Cannot find or access .*\(tried /"):
        library.resolve(name)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "x" * 300 + ".safetensors", "\ud800"])
def test_odd_names_are_the_callers_fault(name: str, library: Library) -> None:
    with pytest.raises((BadRequestError, NotFoundError)):
        library.resolve(name)


def test_a_link_that_leads_out_is_refused_and_not_listed(
    library: Library, folders: Folders, tiny_sd1: Path, tmp_path: Path
) -> None:
    secret = make_ldm_checkpoint(tiny_sd1, tmp_path / "secret.safetensors", companion=False)
    (folders.model_folder("checkpoint") / "link.safetensors").symlink_to(secret)
    with pytest.raises(BadRequestError, match="Cannot find or access"):
        library.resolve("link.safetensors")
    assert "link.safetensors" not in library.names("checkpoint")


def test_a_model_folder_that_is_itself_a_link_is_used(tmp_path: Path, tiny_sd1: Path) -> None:
    folders = Folders(tmp_path / "data")
    folders.create()
    make_ldm_checkpoint(tiny_sd1, tmp_path / "disk" / "painter.safetensors")
    folders.model_folder("checkpoint").rmdir()
    folders.model_folder("checkpoint").symlink_to(tmp_path / "disk")
    library = Library(folders, {})
    assert library.names("checkpoint") == ["painter.safetensors"]
    assert library.resolve("painter").family is Family.SD1


def test_links_in_a_circle_end(library: Library, folders: Folders) -> None:
    link = folders.model_folder("checkpoint") / "circle.safetensors"
    link.symlink_to(link)
    assert "circle.safetensors" not in library.names("checkpoint")
    with pytest.raises(BadRequestError):
        library.resolve("circle.safetensors")


def test_an_unknown_name_is_answered_with_the_nearest(library: Library) -> None:
    with pytest.raises(NotFoundError, match="Unknown diffusion model startr; did you mean 'starter'"):
        library.resolve("startr")


def test_a_name_that_two_files_have_asks_for_a_path(library: Library, folders: Folders) -> None:
    checkpoints = folders.model_folder("checkpoint")
    shutil.copy(checkpoints / "painter.safetensors", checkpoints / "sub" / "painter.safetensors")
    assert library.names("checkpoint") == [
        "deeper.safetensors",
        "painter.safetensors",
        "sub/painter.safetensors",
    ]
    assert library.resolve("sub/painter.safetensors").path.endswith("sub/painter.safetensors")
    shutil.move(checkpoints / "painter.safetensors", checkpoints / "other")
    (checkpoints / "third").mkdir()
    shutil.copy(checkpoints / "other", checkpoints / "third" / "painter.safetensors")
    with pytest.raises(BadRequestError, match="2 files"):
        library.resolve("painter.safetensors")


def test_weights_of_another_kind_are_no_model(library: Library) -> None:
    with pytest.raises(BadRequestError, match="no model but weights of the kind 'vae'"):
        library.resolve("vae/vae-mse.safetensors")
    assert library.resolve("vae-mse.safetensors", ["vae"]).kind is WeightKind.VAE


def test_a_broken_file_is_named(library: Library, folders: Folders) -> None:
    path = folders.model_folder("checkpoint") / "painter.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"painter\.safetensors"):
        library.resolve("painter")


def test_a_file_is_probed_again_only_when_it_changes(
    library: Library, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[Path] = []

    def counting(path: Path) -> object:
        probed.append(path)
        return real(path)

    real = library_module.probe
    monkeypatch.setattr(library_module, "probe", counting)
    first = library.resolve("painter")
    assert library.resolve("painter") is first
    path = folders.model_folder("checkpoint") / "painter.safetensors"
    os.utime(path, ns=(1, 1))
    assert library.resolve("painter") == first
    unet = path.with_suffix(".config") / "unet" / "config.json"
    unet.write_text(unet.read_text() + "\n")
    assert library.resolve("painter").fingerprint != first.fingerprint
    assert len(probed) == 3


def test_further_roots_are_looked_into(library: Library, tmp_path: Path, tiny_sd2: Path) -> None:
    old = tmp_path / "webui" / "models"
    make_ldm_checkpoint(tiny_sd2, old / "Stable-diffusion" / "second.safetensors")
    further = Library(library._folders, {}, [old])
    assert "second.safetensors" in further.names("checkpoint")
    assert further.resolve("second").family is Family.SD2
    assert further.resolve(str(old / "Stable-diffusion" / "second.safetensors")).name == "second.safetensors"


def test_vaes_by_offered_name_alias_and_file(library: Library) -> None:
    for word in ("mse", "soft"):
        found = library.resolve_vae(word, VAES)
        assert found.name == "mse"
        assert found.path.endswith("vae-mse.safetensors")
    assert library.resolve_vae("vae-mse.safetensors", VAES).kind is WeightKind.VAE


def test_a_vae_without_weights_says_which_file_would_do(library: Library) -> None:
    with pytest.raises(NotFoundError, match=r"sdxl_vae\.safetensors"):
        library.resolve_vae("xl", VAES)
    with pytest.raises(NotFoundError, match="Unknown VAE msee; did you mean 'mse'"):
        library.resolve_vae("msee", VAES)


def test_a_vae_of_a_spec_may_be_a_folder(library: Library, folders: Folders, tiny_sdxl: Path) -> None:
    shutil.copytree(tiny_sdxl / "vae", folders.model_folder("vae") / "sdxl-vae")
    assert library.resolve_vae("xl", VAES).path.endswith("sdxl-vae")


def test_many_threads_find_the_same(library: Library) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(library.resolve, ["painter", "starter", "folder-model", "deeper"] * 20))
    assert len(found) == 4


def test_a_vae_without_weights_says_how_they_are_fetched(library: Library) -> None:
    wanted = r"has no weights here.*sdxl_vae\.safetensors.*curl --location --output '.*sdxl_vae\.safetensors' https://"
    with pytest.raises(NotFoundError, match=wanted):
        library.resolve_vae("xl", VAES)
