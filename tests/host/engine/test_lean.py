"""Lean attention and residual blocks: the same numbers, to the bit, and nothing remembered too long."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock, FeedForward
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from stretto.host.engine.lean import _ROWS, LeanAttention, LeanResnet, make_lean, remembering
from stretto.host.engine.lean_transformer import LeanBlock, LeanFeedForward, LeanTransformer


@pytest.fixture(scope="module")
def plain(tiny_sd1):
    return UNet2DConditionModel.from_pretrained(tiny_sd1 / "unet").eval().requires_grad_(False)


@pytest.fixture
def lean(plain):
    unet = copy.deepcopy(plain)
    make_lean(unet)
    return unet


def told(unet, seed=0):
    return torch.randn(2, 77, unet.config.cross_attention_dim, generator=torch.Generator().manual_seed(seed))


def predicted(unet, tokens, **more):
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(2, 4, 8, 8, generator=generator)
    with torch.inference_mode():
        return unet(noisy, torch.tensor(500), encoder_hidden_states=tokens, return_dict=False, **more)[0]


def layers(unet, kind=LeanAttention):
    return [module for module in unet.modules() if isinstance(module, kind)]


def test_every_block_is_lean(lean):
    assert layers(lean)
    assert all(isinstance(one, LeanAttention) for one in layers(lean, Attention))
    assert all(isinstance(one, LeanResnet) for one in layers(lean, ResnetBlock2D))
    assert set(lean.state_dict()) == set(copy.deepcopy(lean).state_dict())


def test_a_unet_gives_the_same_to_the_bit(plain, lean):
    tokens = told(plain)
    expected = predicted(plain, tokens)
    assert torch.equal(predicted(lean, tokens), expected)
    with remembering(lean):
        assert torch.equal(predicted(lean, tokens), expected)
        assert torch.equal(predicted(lean, tokens), expected)


def test_a_vae_gives_the_same_to_the_bit(tiny_sd1):
    vae = AutoencoderKL.from_pretrained(tiny_sd1 / "vae").eval().requires_grad_(False)
    latents = torch.randn(1, 4, 4, 4)
    expected = vae.decode(latents, return_dict=False)[0]
    make_lean(vae)
    assert layers(vae, LeanResnet)
    assert torch.equal(vae.decode(latents, return_dict=False)[0], expected)


def test_what_is_not_plain_is_left_to_diffusers(plain, lean):
    tokens = told(plain)
    mask = torch.ones(2, 77)
    mask[:, 40:] = 0
    masked = predicted(lean, tokens, encoder_attention_mask=mask)
    assert torch.equal(masked, predicted(plain, tokens, encoder_attention_mask=mask))
    assert not torch.equal(masked, predicted(plain, tokens))
    for unet in (other := copy.deepcopy(plain), lean):
        unet.set_attn_processor(AttnProcessor())
    assert torch.equal(predicted(lean, tokens), predicted(other, tokens))


def test_a_prompt_is_projected_once_while_it_is_remembered(lean):
    calls = []
    cross = [one for one in layers(lean) if one.is_cross_attention]
    for one in cross:
        one.to_k.register_forward_hook(lambda *_: calls.append(1))
    tokens = told(lean)
    with remembering(lean):
        for _ in range(3):
            predicted(lean, tokens)
        assert len(calls) == len(cross)
        predicted(lean, tokens.clone())
        assert len(calls) == 2 * len(cross)
    assert not cross[0].heard.made
    predicted(lean, tokens)
    predicted(lean, tokens)
    assert len(calls) == 4 * len(cross)


def test_another_prompt_is_heard(plain, lean):
    first, second = told(plain, 1), told(plain, 2)
    with remembering(lean):
        for tokens in (first, second, first):
            assert torch.equal(predicted(lean, tokens), predicted(plain, tokens))


def test_weights_that_changed_count_in_the_next_drawing(plain, lean):
    tokens = told(plain)
    with remembering(lean):
        predicted(lean, tokens)
    changed = copy.deepcopy(plain)
    for unet in (changed, lean):
        for one in layers(unet, Attention):
            one.to_v.weight.mul_(2)
    with remembering(lean):
        assert torch.equal(predicted(lean, tokens), predicted(changed, tokens))


def test_batches_are_not_remembered(lean):
    rows = _ROWS + 2
    tokens = told(lean)[:1].repeat(rows, 1, 1)
    cross = next(one for one in layers(lean) if one.is_cross_attention)
    with remembering(lean), torch.inference_mode():
        cross(torch.randn(rows, 16, cross.query_dim), tokens)
        assert not cross.heard.made
        cross(torch.randn(2, 16, cross.query_dim), tokens[:2])
        assert cross.heard.made


def test_it_is_forgotten_when_a_drawing_fails(lean):
    def fails():
        with remembering(lean):
            predicted(lean, told(lean))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert not layers(lean)[0].heard.made
    assert not layers(lean)[0].heard.remembers


def test_transformers_are_lean_and_keep_their_order_in_memory(plain, lean):
    seen = []
    for one in layers(lean, Transformer2DModel):
        assert isinstance(one, LeanTransformer)
        one.register_forward_hook(lambda _layer, _given, made: seen.append(made[0]))
    assert all(isinstance(one, LeanBlock) for one in layers(lean, BasicTransformerBlock))
    assert all(isinstance(one, LeanFeedForward) for one in layers(lean, FeedForward))
    tokens = told(plain)
    lean.to(memory_format=torch.channels_last)
    assert (predicted(lean, tokens) - predicted(plain, tokens)).abs().max() < 1e-5
    assert seen
    assert all(made.is_contiguous(memory_format=torch.channels_last) for made in seen)


@pytest.mark.parametrize("linear", [False, True])
def test_a_transformer_gives_the_same_to_the_bit(linear):
    kind = {
        "in_channels": 16,
        "cross_attention_dim": 8,
        "norm_num_groups": 4,
        "use_linear_projection": linear,
    }
    layer = (
        Transformer2DModel(num_attention_heads=2, attention_head_dim=8, **kind).eval().requires_grad_(False)
    )
    expecting = copy.deepcopy(layer)
    make_lean(layer)
    assert type(layer) is LeanTransformer
    picture, tokens = torch.randn(2, 16, 3, 5), torch.randn(2, 7, 8)
    with torch.inference_mode():
        expected = expecting(picture, tokens, return_dict=False)[0]
        assert torch.equal(layer(picture, tokens, return_dict=False)[0], expected)
        assert torch.equal(layer(picture, encoder_hidden_states=tokens).sample, expected)
        hidden = torch.zeros(2, 15)
        hidden[:, 4:] = -10000
        asked = {"attention_mask": hidden[:, None], "return_dict": False}
        masked = layer(picture, tokens, **asked)[0]
        assert torch.equal(masked, expecting(picture, tokens, **asked)[0])
        assert not torch.equal(masked, expected)


def test_feed_forward_in_chunks_is_left_to_diffusers(plain, lean):
    tokens = told(plain)
    chunked = copy.deepcopy(plain)
    for unet in (chunked, lean):
        for block in layers(unet, BasicTransformerBlock):
            block.set_chunk_feed_forward(1)
    calls = []
    layers(lean, LeanFeedForward)[0].register_forward_hook(lambda *_: calls.append(1))
    assert torch.equal(predicted(lean, tokens), predicted(chunked, tokens))
    assert len(calls) == 2  # one for each row


def test_other_kinds_of_attention_stay_what_they_are():
    kept = Attention(query_dim=8, heads=2, dim_head=4, norm_num_groups=2, residual_connection=True)
    make_lean(kept)
    assert type(kept) is Attention
    assert isinstance(kept.processor, AttnProcessor2_0)
