"""Every form of factors against its formula, written out in another way."""

from __future__ import annotations

import pytest
import torch
from stretto.plugins.patchers.deltas import changed, delta

CONV, LINEAR = (6, 8, 3, 3), (6, 8)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def tucker(core, left, right):
    """Sum over both ranks, one term after the other."""
    out = torch.zeros(left.shape[1], right.shape[1], *core.shape[2:])
    for i in range(core.shape[0]):
        for j in range(core.shape[1]):
            out += left[i][:, None, None, None] * right[j][None, :, None, None] * core[i, j]
    return out


def test_a_linear_lora_counts_alpha_against_its_rank():
    up, down = drawn(6, 2), drawn(2, 8)
    torch.testing.assert_close(delta({"up": up, "down": down}, LINEAR), up @ down)
    third = delta({"up": up, "down": down, "alpha": torch.tensor(0.5)}, LINEAR)
    torch.testing.assert_close(third, up @ down / 4)


@pytest.mark.parametrize("shape", [CONV, (6, 8, 1, 1)])
def test_a_locon_is_two_convolutions(shape):
    up, down, picture = drawn(6, 2, 1, 1), drawn(2, *shape[1:]), drawn(1, 8, 9, 9)
    made = delta({"up": up, "down": down}, shape)
    convolve = torch.nn.functional.conv2d
    torch.testing.assert_close(
        convolve(picture, made), convolve(convolve(picture, down), up), atol=1e-4, rtol=1e-4
    )


def test_a_locon_with_a_core():
    up, mid, down = drawn(6, 2, 1, 1), drawn(2, 2, 3, 3), drawn(2, 8, 1, 1)
    made = delta({"up": up, "mid": mid, "down": down}, CONV)
    convolve, picture = torch.nn.functional.conv2d, drawn(1, 8, 9, 9)
    thrice = convolve(convolve(convolve(picture, down), mid), up)
    torch.testing.assert_close(convolve(picture, made), thrice, atol=1e-4, rtol=1e-4)


def test_a_linear_lora_fits_a_convolution_of_one_pixel():
    """`proj_in` is the one or the other, by the model."""
    up, down = drawn(6, 2), drawn(2, 8)
    assert delta({"up": up, "down": down}, (6, 8, 1, 1)).shape == (6, 8, 1, 1)


@pytest.mark.parametrize("shape", [LINEAR, CONV])
def test_loha(shape):
    inputs = shape[1] * (9 if len(shape) > 2 else 1)
    factors = {
        "hada_w1_a": drawn(6, 2), "hada_w1_b": drawn(2, inputs, seed=1),
        "hada_w2_a": drawn(6, 2, seed=2), "hada_w2_b": drawn(2, inputs, seed=3), "alpha": torch.tensor(1.0),
    }  # fmt: skip
    first = factors["hada_w1_a"] @ factors["hada_w1_b"]
    second = factors["hada_w2_a"] @ factors["hada_w2_b"]
    torch.testing.assert_close(delta(factors, shape), (first * second).reshape(shape) / 2)


def test_loha_with_cores():
    factors = {
        "hada_t1": drawn(2, 2, 3, 3), "hada_w1_a": drawn(2, 6), "hada_w1_b": drawn(2, 8),
        "hada_t2": drawn(2, 2, 3, 3, seed=1), "hada_w2_a": drawn(2, 6, seed=1), "hada_w2_b": drawn(2, 8, seed=1),
    }  # fmt: skip
    sides = [
        tucker(factors[f"hada_t{side}"], factors[f"hada_w{side}_a"], factors[f"hada_w{side}_b"])
        for side in (1, 2)
    ]
    torch.testing.assert_close(delta(factors, CONV), sides[0] * sides[1])


def test_lokr_is_a_kronecker_product():
    first, second = drawn(2, 4), drawn(3, 2)
    blocks = torch.cat([torch.cat([value * second for value in row], dim=1) for row in first])
    whole = {"lokr_w1": first, "lokr_w2": second, "alpha": torch.tensor(7.0)}
    torch.testing.assert_close(delta(whole, LINEAR), blocks)  # no rank, so alpha counts for nothing
    left, right = drawn(3, 5), drawn(5, 2)
    halved = {"lokr_w1": first, "lokr_w2_a": left, "lokr_w2_b": right, "alpha": torch.tensor(2.5)}
    torch.testing.assert_close(delta(halved, LINEAR), torch.kron(first, left @ right) / 2)
    both = {"lokr_w1_a": drawn(2, 5), "lokr_w1_b": drawn(5, 4), "lokr_w2": second}
    torch.testing.assert_close(delta(both, LINEAR), torch.kron(both["lokr_w1_a"] @ both["lokr_w1_b"], second))


def test_lokr_of_convolutions():
    first, core, left, right = drawn(2, 4), drawn(5, 5, 3, 3), drawn(5, 3), drawn(5, 2)
    made = delta({"lokr_w1": first, "lokr_t2": core, "lokr_w2_a": left, "lokr_w2_b": right}, CONV)
    second = tucker(core, left, right)
    torch.testing.assert_close(made, torch.kron(first[:, :, None, None], second))
    flat = {"lokr_w1": first, "lokr_w2_a": drawn(3, 5), "lokr_w2_b": drawn(5, 18)}
    assert delta(flat, CONV).shape == CONV


def test_a_difference_is_added_as_it_is():
    difference = drawn(*CONV)
    torch.testing.assert_close(changed(torch.zeros(CONV), {"diff": difference}, 0.5), 0.5 * difference)


@pytest.mark.parametrize("shape", [LINEAR, CONV])
def test_dora_gives_outputs_their_length(shape):
    weight, magnitude = drawn(*shape), drawn(6).abs()
    factors = {"up": drawn(6, 2, *[1] * (len(shape) - 2)), "down": drawn(2, *shape[1:])}
    for name, form in (("magnitude", (6,)), ("dora_scale", (6, *[1] * (len(shape) - 1)))):
        made = changed(weight, {**factors, name: magnitude.reshape(form)}, 0.5)
        torch.testing.assert_close(made.flatten(1).norm(dim=1), magnitude)
        plain = changed(weight, factors, 0.5).flatten(1)
        cosine = torch.nn.functional.cosine_similarity(made.flatten(1), plain)
        torch.testing.assert_close(cosine, torch.ones(6))


def test_older_dora_gives_inputs_their_length():
    magnitude = drawn(1, 8).abs()
    factors = {"up": drawn(6, 2), "down": drawn(2, 8), "dora_scale": magnitude}
    made = changed(drawn(*LINEAR), factors, 1.0)
    torch.testing.assert_close(made.norm(dim=0, keepdim=True), magnitude)


@pytest.mark.parametrize(
    "factors",
    [
        {"up": drawn(6, 2), "down": drawn(2, 9)},
        {"up": drawn(8, 2), "down": drawn(2, 6)},
        {"diff": drawn(6)},
        {"lokr_w1": drawn(2, 4), "lokr_w2": drawn(3, 3)},
        {"up": drawn(6, 2), "down": drawn(2, 8), "magnitude": drawn(5)},
    ],
)
def test_factors_of_another_shape(factors):
    with pytest.raises(ValueError, match="the layer has"):
        changed(torch.zeros(LINEAR), factors, 1.0)
