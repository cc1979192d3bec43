"""Skipping layers of text encoders, as diffusers' own pipelines do it."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from stretto.host.engine.conditioning import conditions, encode
from stretto.host.errors import EngineError

from .conftest import difference


@contextmanager
def readable(pair):
    """Let diffusers find what it calls `text_encoder.text_model`; transformers made the two one in 5.6.

    Pairs serve other tests too, in which the name would hide the encoder's layers from peft.
    """
    encoder = pair.theirs.from_text.text_encoder
    if hasattr(encoder, "text_model"):
        yield
        return
    object.__setattr__(encoder, "text_model", encoder)
    try:
        yield
    finally:
        object.__delattr__(encoder, "text_model")


@pytest.mark.parametrize(
    ("model", "skip"),
    [
        ("tiny_sd1", 0),
        ("tiny_sd1", 1),
        ("tiny_sd1", 2),
        ("tiny_sdxl", 0),
        ("tiny_sdxl", 1),
        ("starter_path", 1),
    ],
)
def test_clip_skip(pairs, model, skip):
    pair = pairs(model)
    ours = pair.ours.draw(clip_skip=skip, negative_prompt="a blue dog")
    with readable(pair):
        theirs = pair.theirs.draw(clip_skip=skip, negative_prompt="a blue dog")
    assert difference(ours, theirs) <= 1
    changed = difference(ours, pair.ours.draw(negative_prompt="a blue dog"))
    assert changed > 2 if skip else changed == 0


def test_of_an_image(pairs, picture):
    pair = pairs("tiny_sdxl")
    ours = pair.ours.draw(clip_skip=1, image=picture.ref, strength=0.6)
    with readable(pair):
        theirs = pair.theirs.draw(clip_skip=1, image=picture.image, strength=0.6)
    assert difference(ours, theirs) <= 1


@pytest.mark.parametrize("model", ["tiny_sd1", "tiny_sdxl"])
def test_weights_in_prompts_are_read_at_the_same_layer(pairs, model):
    """A weight of nearly 1 is nearly no weight, whichever layer is read."""
    ours = pairs(model).ours.model
    plain, weighted = (encode(ours, words, 1).tokens for words in ("a red circle", "a (red:1.0001) circle"))
    assert torch.allclose(plain, weighted, atol=1e-2)
    assert not torch.equal(plain, weighted)
    assert not torch.allclose(plain, encode(ours, "a red circle").tokens, atol=1e-2)


def test_layers_are_remembered_apart(pairs):
    ours, memory = pairs("tiny_sd1").ours, {}
    found = [
        conditions(
            ours.model,
            ("", "a red circle", skip),
            1.0,
            (64, 64),
            lambda key, make: memory.setdefault(key, make()),
        )
        for skip in (0, 1, 1)
    ]
    assert len(memory) == 2
    assert not torch.equal(found[0].tokens, found[1].tokens)
    assert torch.equal(found[1].tokens, found[2].tokens)


def test_more_layers_than_there_are(pairs):
    with pytest.raises(EngineError, match="clip_skip 9 leaves nothing of a text encoder of 3 layers"):
        encode(pairs("tiny_sd1").ours.model, "a red circle", 9)
