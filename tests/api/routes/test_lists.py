from __future__ import annotations

import pytest
from stretto.api.weight_names import DEFAULTS
from stretto.host.catalog.places import found_places, keep_places


@pytest.mark.parametrize(
    ("folder", "routes"),
    [
        ("lora", ["/api/lora"]),
        ("lycoris", ["/api/lycoris"]),
        ("inversion", ["/api/inversion", "/api/inversions"]),
    ],
)
def test_base_names_of_all_files(still, folder, routes):
    place = still.folders.model_folder(folder)
    (place / "deep" / "er").mkdir(parents=True)
    for name in ("b.safetensors", "a.pt", ".part", "deep/er/c.safetensors", "deep/a.pt"):
        (place / name).touch()
    for route in routes:
        answer = still.client.get(route)
        assert sorted(answer.data) == ["a.pt", "b.safetensors", "c.safetensors"]
        assert answer.json["meta"] == {"params": {}}


def test_checkpoints_and_the_models_that_plugins_ship(still):
    (still.folders.model_folder("checkpoint") / "mine.ckpt").touch()
    found = still.client.get("/api/checkpoints").data
    assert found[0] == "mine.ckpt"
    offered = list(still.host.offers("models"))
    assert found[1:] == [*offered, *DEFAULTS]


def test_a_default_that_is_here_is_listed_once(still):
    (still.folders.model_folder("checkpoint") / DEFAULTS[1]).touch()
    found = still.client.get("/api/checkpoints").data
    assert found[0] == "sd-v1-5-inpainting.ckpt"
    assert len(found) == len(set(found)) == 4 + len(still.host.offers("models"))


def test_imported_folders_are_listed(still, tmp_path):
    (tmp_path / "webui" / "loras").mkdir(parents=True)
    (tmp_path / "webui" / "loras" / "theirs.safetensors").touch()
    keep_places(still.folders, found_places(tmp_path / "webui"))
    assert still.client.get("/api/lora").data == ["theirs.safetensors"]
