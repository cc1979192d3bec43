"""New words: where they stand in a prompt, and which rows of the table they mean."""

from __future__ import annotations

import pytest
import torch
from stretto.host.catalog.probe import probe
from stretto.host.contracts.models import ModelSpec, Patch, Precision, Role
from stretto.host.errors import WeightsError
from stretto.host.testing.adapters import make_inversion
from stretto.plugins.loaders import register_loaders
from stretto.plugins.patchers.words import WordPatcher


@pytest.fixture(scope="module")
def model(tiny_sd1):
    loader = next(offer.build() for offer in register_loaders() if offer.name == "diffusers")
    return loader.load(ModelSpec(role=Role.BASE, weights=probe(tiny_sd1)), Precision.FLOAT32, "cpu")


def taught(model, path):
    file = probe(path)
    return WordPatcher().applied(model, Patch(kind=file.kind, file=file), lambda _note: None)


def ids(model, text):
    return model.tokenizers[0](text, add_special_tokens=False).input_ids


@pytest.mark.parametrize("vectors", [1, 3])
def test_a_word_is_its_rows(model, tmp_path, vectors):
    path = make_inversion(tmp_path / "zog.safetensors", (64,), vectors=vectors)
    table = model.text_encoders[0].get_input_embeddings()
    rows, plain = len(table.weight), ids(model, "a cat, dog")
    with taught(model, path) as given:
        new = list(range(rows, rows + vectors))
        assert ids(given, "a zog cat") == [plain[0], *new, plain[1]]
        assert ids(given, "ZOG") == new
        assert ids(given, "(a zog, zog)").count(rows) == 2
        assert ids(given, "zogs azog") == ids(model, "zogs azog")
        longer = model.text_encoders[0].get_input_embeddings().weight
        assert torch.equal(longer[:rows], table.weight)
        assert len(longer) == rows + vectors
    assert model.text_encoders[0].get_input_embeddings() is table


def test_two_files_teach_two_words(model, tmp_path):
    first = make_inversion(tmp_path / "one.safetensors", (64,), vectors=2)
    second = make_inversion(tmp_path / "two.pt", (64,), word="<second>", vectors=1)
    rows = len(model.text_encoders[0].get_input_embeddings().weight)
    (tmp_path / "inversion").mkdir()
    moved = second.rename(tmp_path / "inversion" / "two.pt")
    with taught(model, first) as once, taught(once, moved) as twice:
        assert ids(twice, "one <second> two") == [rows, rows + 1, rows + 2, rows + 2]


def test_vectors_of_another_width(model, tmp_path):
    path = make_inversion(tmp_path / "zog.safetensors", (768,))
    with pytest.raises(WeightsError, match="It is for sd1; name such a model"), taught(model, path):
        raise AssertionError


def test_what_is_no_vector(model, tmp_path):
    (tmp_path / "inversion").mkdir()
    for content in ({}, {"a": 1}, {"<a>": torch.zeros(2, 2, 64)}, {"<a>": torch.zeros(0, 64)}):
        path = tmp_path / "inversion" / "zog.pt"
        torch.save(content, path)
        with pytest.raises(WeightsError, match="holds no vectors of words"), taught(model, path):
            raise AssertionError
