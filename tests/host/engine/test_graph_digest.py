"""Graphs told apart without exporting them."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from stretto.host import Component, Family, Patch, WeightFile, WeightKind
from stretto.host.catalog.digests import Digests
from stretto.host.contracts.models import Difference
from stretto.host.engine.graph_digest import graph_digest
from stretto.host.engine.graphs import present

from .graph_models import load


@pytest.fixture
def folder(tiny_sd1, tmp_path):
    return Path(shutil.copytree(tiny_sd1, tmp_path / "model"))


@pytest.fixture
def model(folder):
    return load(folder, Family.SD1)


@pytest.fixture
def digest_of(tmp_path):
    digests = Digests(tmp_path / "digests.json")
    return lambda file: digests.of(Path(file.path))


def digests(model, digest_of):
    return {component: graph_digest(model, component, digest_of) for component in present(model)}


def touched(path):
    """Change the last byte of a file of weights."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def changed(before, after):
    return {component for component in before if before[component] != after[component]}


def test_digests_are_sha256_and_differ_by_component(model, digest_of):
    found = digests(model, digest_of)
    assert len(set(found.values())) == len(found)
    assert {len(digest) for digest in found.values()} == {len(hashlib.sha256().hexdigest())}


def test_names_and_places_do_not_count(model, folder, tmp_path, digest_of):
    before = digests(model, digest_of)
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    weights = replace(model.spec.weights, path=str(moved), name="another", fingerprint="unknown")
    assert digests(replace(model, spec=replace(model.spec, weights=weights)), digest_of) == before


@pytest.mark.parametrize(
    ("part", "components"),
    [
        ("unet", {Component.UNET, Component.CONTROLLED_UNET}),
        ("vae", {Component.VAE_ENCODER, Component.VAE_DECODER}),
        ("text_encoder", {Component.TEXT_ENCODER}),
    ],
)
def test_a_byte_of_a_network_changes_its_graphs_alone(model, folder, digest_of, part, components):
    before = digests(model, digest_of)
    touched(next((folder / part).glob("*.safetensors")))
    assert changed(before, digests(model, digest_of)) == components


def test_another_vae_file_is_another_vae(model, folder, tmp_path, digest_of):
    before = digests(model, digest_of)
    file = shutil.copy(next((folder / "vae").glob("*.safetensors")), tmp_path / "own.safetensors")
    touched(Path(file))
    spec = replace(model.spec, vae=WeightFile(path=file, kind=WeightKind.VAE))
    assert changed(before, digests(replace(model, spec=spec), digest_of)) == {
        Component.VAE_ENCODER,
        Component.VAE_DECODER,
    }


def test_settings_count(model, digest_of):
    before = digests(model, digest_of)
    model.unet.register_to_config(norm_eps=1e-6)
    assert changed(before, digests(model, digest_of)) == {Component.UNET, Component.CONTROLLED_UNET}


def test_a_unet_alone_has_the_rest_from_another_model(model, tiny_inpainter, digest_of):
    before = digests(model, digest_of)
    weights = WeightFile(
        path=str(tiny_inpainter / "unet"), kind=WeightKind.UNET, parts_from=model.spec.weights
    )
    after = digests(replace(model, spec=replace(model.spec, weights=weights)), digest_of)
    assert changed(before, after) == {Component.UNET, Component.CONTROLLED_UNET}


def test_an_added_difference_counts_for_all(model, tiny_sd1, tiny_sd2, digest_of):
    before = digests(model, digest_of)
    files = [WeightFile(path=str(path), kind=WeightKind.DIFFUSERS) for path in (tiny_sd1, tiny_sd2)]
    spec = replace(model.spec, difference=Difference(model=files[0], base=files[1]))
    assert changed(before, digests(replace(model, spec=spec), digest_of)) == before.keys()


def test_patches_count_by_content_weight_and_order(model, tmp_path, digest_of):
    before = digests(model, digest_of)
    files = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(name.encode())
        files.append(WeightFile(path=str(path), kind=WeightKind.LORA))
    first, second = (Patch(kind=WeightKind.LORA, file=file) for file in files)
    unets = {Component.UNET, Component.CONTROLLED_UNET}
    ways = [(first,), (replace(first, weight=0.5),), (second,), (first, second), (second, first)]
    found = [digests(replace(model, patches=patches), digest_of) for patches in ways]
    assert all(changed(before, one) == unets | {Component.TEXT_ENCODER} for one in found)
    assert len({one[Component.UNET] for one in found}) == len(ways)
    assert digests(replace(model, patches=(replace(first, weight=0.0),)), digest_of) == before


def test_words_change_text_encoders_alone(model, tmp_path, digest_of):
    before = digests(model, digest_of)
    (tmp_path / "word.safetensors").write_bytes(b"word")
    file = WeightFile(path=str(tmp_path / "word.safetensors"), kind=WeightKind.INVERSION)
    patched = replace(model, patches=(Patch(kind=WeightKind.INVERSION, file=file),))
    assert changed(before, digests(patched, digest_of)) == {Component.TEXT_ENCODER}
