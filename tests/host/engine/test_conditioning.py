"""Prompts into embeddings: plain ones as diffusers makes them, long ones, weighted ones."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from stretto.host.contracts.models import ModelSpec, Role, WeightFile, WeightKind
from stretto.host.contracts.protocols import LoadedModel
from stretto.host.engine.conditioning import conditions, encode
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

LONG = "a red circle and a blue dog on the left of the cat " * 12  # more than 75 tokens


def loaded(folder) -> LoadedModel:
    """Text encoders of a folder; of the UNet only what conditioning asks it for."""
    index = json.loads((folder / "model_index.json").read_text())
    parts = [part for part in ("text_encoder", "text_encoder_2") if index.get(part, [None])[0]]
    classes = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    unet = torch.nn.Linear(1, 1)
    unet.config = SimpleNamespace(**json.loads((folder / "unet" / "config.json").read_text()))
    return LoadedModel(
        spec=ModelSpec(
            role=Role.BASE, weights=WeightFile(path=str(folder), kind=WeightKind.DIFFUSERS, fingerprint="f")
        ),
        unet=unet,
        vae=None,
        text_encoders=tuple(classes[part].from_pretrained(folder / part).eval() for part in parts),
        tokenizers=tuple(
            CLIPTokenizer.from_pretrained(folder / part.replace("text_encoder", "tokenizer"))
            for part in parts
        ),
        scheduler_config={},
        options={
            key: index.get(key, False)
            for key in ("force_zeros_for_empty_prompt", "requires_aesthetics_score")
        },
    )


@pytest.fixture(scope="module")
def sd1(tiny_sd1):
    return loaded(tiny_sd1)


@pytest.fixture(scope="module")
def sdxl(tiny_sdxl):
    return loaded(tiny_sdxl)


def uncached(key, make):
    return make()


def guides(model, positive, negative="", guidance=7.0, cache=uncached):
    return conditions(model, (negative, positive), guidance, (64, 96), cache)


@pytest.mark.parametrize("prompt", ["", "a red circle", "A photo!? of 3 cats ü", "smile :) 16:9"])
@pytest.mark.parametrize("negative", [None, "a blue dog"])
def test_a_plain_prompt_is_encoded_exactly_as_diffusers_does(tiny_sd1, sd1, prompt, negative):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd1, safety_checker=None)
    with torch.no_grad():
        positive, other = pipe.encode_prompt(prompt, "cpu", 1, True, negative)
    ours = guides(sd1, prompt, negative or "")
    assert torch.equal(ours.tokens, torch.cat([other, positive]))
    assert ours.pooled is None


@pytest.mark.parametrize("negative", [None, "a blue dog"])
def test_sdxl_is_encoded_exactly_as_diffusers_does(tiny_sdxl, sdxl, negative):
    from diffusers import StableDiffusionXLPipeline

    pipe = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl)
    with torch.no_grad():
        positive, other, pooled, other_pooled = pipe.encode_prompt("a cat", negative_prompt=negative)
    ours = guides(sdxl, "a cat", negative or "")
    assert torch.equal(ours.tokens, torch.cat([other, positive]))
    assert torch.equal(ours.pooled, torch.cat([other_pooled, pooled]))
    assert ours.time_ids.tolist() == [[64, 96, 0, 0, 64, 96]] * 2
    assert float(ours.tokens[0].abs().max()) == 0.0 or negative


def test_the_refiner_is_told_scores(tiny_refiner):
    ours = guides(loaded(tiny_refiner), "a cat")
    assert ours.time_ids.tolist() == [[64, 96, 0, 0, 2.5], [64, 96, 0, 0, 6.0]]
    assert guides(loaded(tiny_refiner), "a cat", guidance=1.0).time_ids.tolist() == [[64, 96, 0, 0, 6.0]]


def test_without_guidance_the_negative_prompt_is_not_encoded(sd1):
    seen = []
    ours = guides(sd1, "a cat", "a dog", guidance=1.0, cache=lambda key, make: seen.append(key) or make())
    assert not ours.guided
    assert len(ours.tokens) == 1
    assert len(seen) == 1


@pytest.mark.parametrize("model", ["sd1", "sdxl"])
def test_long_prompts_are_chunks_of_75_end_to_end(request, model):
    model = request.getfixturevalue(model)
    tokenizer = model.tokenizers[0]
    ids = tokenizer(LONG, add_special_tokens=False).input_ids
    assert len(ids) > 75
    whole = encode(model, LONG).tokens
    chunks = -(-len(ids) // 75)
    assert whole.shape[1] == 77 * chunks
    first = tokenizer.decode(ids[:75])
    torch.testing.assert_close(whole[:, :77], encode(model, first).tokens)


def test_a_short_negative_prompt_is_filled_up_to_a_long_one(sd1):
    ours = guides(sd1, LONG, "a dog")
    empty = encode(sd1, "").tokens
    assert torch.equal(ours.tokens[:1, 77:154], empty)
    assert torch.equal(guides(sd1, "a dog", LONG).tokens[1:, 77:154], empty)


@pytest.mark.parametrize("model", ["sd1", "sdxl"])
def test_weights_move_embeddings_as_compel_does(request, model):
    from compel import Compel
    from compel.embeddings_provider import ReturnedEmbeddingsType

    model = request.getfixturevalue(model)
    xl = len(model.text_encoders) > 1
    theirs = [
        Compel(
            tokenizer=tokenizer,
            text_encoder=encoder,
            returned_embeddings_type=(
                ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
                if xl
                else ReturnedEmbeddingsType.LAST_HIDDEN_STATES_NORMALIZED
            ),
        )("a (red)1.5 circle (left)0.5")
        for tokenizer, encoder in zip(model.tokenizers, model.text_encoders, strict=True)
    ]
    ours = encode(model, "a (red:1.5) circle (left:0.5)")
    torch.testing.assert_close(ours.tokens, torch.cat(theirs, dim=-1))
    plain = encode(model, "a red circle left")
    assert not torch.allclose(ours.tokens, plain.tokens)
    if xl:
        assert torch.equal(ours.pooled, plain.pooled)


@pytest.mark.parametrize("prompt", ["(a:1.0) cat", "\\(a\\) cat", "(a cat:1)"])
def test_weights_of_one_change_nothing(sd1, prompt):
    plain = {"\\(a\\) cat": "(a) cat"}.get(prompt, "a cat")
    expected = _by_hand(sd1, plain)
    assert torch.equal(encode(sd1, prompt).tokens, expected)


def _by_hand(model, text):
    ids = model.tokenizers[0](text, padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        return model.text_encoders[0](ids)[0]


@pytest.mark.parametrize(
    "prompt", ["( :0.5) cat", "[] (,:0.1)", "(cat:0)", f"({LONG}:0.7) [the dog]", f"{LONG} (dog:1.4)"]
)
@pytest.mark.parametrize("model", ["sd1", "sdxl"])
def test_odd_weights_give_numbers(request, model, prompt):
    tokens = encode(request.getfixturevalue(model), prompt).tokens
    assert bool(torch.isfinite(tokens).all())
    assert tokens.shape[1] % 77 == 0


def test_long_weighted_prompts_are_cut_where_long_plain_ones_are(sd1):
    ours = encode(sd1, f"{LONG}(dog:1.4)").tokens
    plain = encode(sd1, f"{LONG}dog").tokens
    assert ours.shape == plain.shape
    torch.testing.assert_close(ours[:, :77], plain[:, :77])


def test_embeddings_are_cached_by_content(sd1):
    memory = {}

    def cache(key, make):
        if key not in memory:
            memory[key] = make()
        return memory[key]

    first = guides(sd1, "a cat", "a dog", cache=cache)
    keys = set(memory)
    second = guides(sd1, "a cat", "a dog", guidance=3.0, cache=cache)
    assert set(memory) == keys
    assert len(keys) == 2
    assert torch.equal(first.tokens, second.tokens)
    assert all(key[0] == "text" and "f" in key for key in keys)


def test_rows_repeat_the_negative_half_first(sdxl):
    arguments = guides(sdxl, "a cat", "a dog").repeated(3)
    rows = arguments["encoder_hidden_states"]
    assert len(rows) == 6
    assert torch.equal(rows[0], rows[2])
    assert not torch.equal(rows[2], rows[3])
    assert arguments["added_cond_kwargs"]["time_ids"].shape == (6, 6)
