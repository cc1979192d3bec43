"""Another program's folders: found by their names, kept in one file, looked into by the library."""

from __future__ import annotations

import pytest
from stretto.host.catalog.library import Library
from stretto.host.catalog.places import Places, found_places, keep_places
from stretto.host.errors import BadRequestError, ConfigurationError
from stretto.host.settings import Folders
from stretto.host.testing.tiny import make_ldm_checkpoint


@pytest.fixture
def folders(tmp_path):
    made = Folders(tmp_path / "data")
    made.create()
    return made


@pytest.fixture
def other(tmp_path):
    root = tmp_path / "other"
    for name in ("models/Stable-diffusion", "models/Lora", "models/deepbooru", "embeddings", "outputs"):
        (root / name).mkdir(parents=True)
    (root / "models" / "VAE").touch()  # no folder
    return root


def test_folders_are_known_by_their_names(other):
    assert found_places(other) == {
        "checkpoint": (other / "models" / "Stable-diffusion",),
        "lora": (other / "models" / "Lora",),
        "inversion": (other / "embeddings",),
    }
    assert found_places(other / "models").keys() == {"checkpoint", "lora"}
    assert found_places(other / "outputs", "lora") == {"lora": (other / "outputs",)}


@pytest.mark.parametrize(("name", "words"), [("outputs", "say with --kind"), ("nowhere", "is no folder")])
def test_what_has_nothing(other, name, words):
    with pytest.raises(BadRequestError, match=words):
        found_places(other / name)


def test_the_library_finds_files_where_they_are(folders, other, tiny_sd1):
    library = Library(folders, {})
    file = other / "models" / "Stable-diffusion" / "deep" / "mine.safetensors"
    file.parent.mkdir()
    make_ldm_checkpoint(tiny_sd1, file)
    assert library.names("checkpoint") == []
    with pytest.raises(BadRequestError):
        library.resolve(str(file))
    keep_places(folders, found_places(other))
    assert library.names("checkpoint") == ["mine.safetensors"]
    for name in ("mine.safetensors", "mine", "deep/mine.safetensors", str(file)):
        assert library.resolve(name).path == str(file)
    assert library.count("checkpoint", other / "models" / "Stable-diffusion") == 1
    keep_places(folders, found_places(other), forget=True)
    assert library.names("checkpoint") == []


def test_links_lead_nowhere_from_there_either(folders, other, tmp_path, tiny_sd1):
    secret = tmp_path / "secret.safetensors"
    make_ldm_checkpoint(tiny_sd1, secret)
    (other / "models" / "Stable-diffusion" / "link.safetensors").symlink_to(secret)
    keep_places(folders, found_places(other))
    library = Library(folders, {})
    assert library.names("checkpoint") == []
    with pytest.raises(BadRequestError):
        library.resolve(
            str(
                other
                / "models"
                / "Stable-diffusion"
                / ".."
                / "Lora"
                / ".."
                / ".."
                / ".."
                / "secret.safetensors"
            )
        )


def test_places_are_kept_once_and_survive_their_folder(folders, other):
    keep_places(folders, found_places(other))
    kept = keep_places(folders, found_places(other))
    assert kept == found_places(other)
    places = Places(folders)
    (other / "embeddings").rmdir()
    assert places.of("inversion") == ()
    assert places.all()["inversion"] == (other / "embeddings",)
    (other / "embeddings").mkdir()
    assert places.of("inversion") == (other / "embeddings",)


@pytest.mark.parametrize("text", ["{", "[]", '{"checkpoint": 3}', '{"bogus": []}'])
def test_a_broken_file_says_so(folders, text):
    (folders.models / "places.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"places\.json"):
        Places(folders).of("checkpoint")
