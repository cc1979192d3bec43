"""Lean norms: the same numbers, to the bit, under the same names."""

from __future__ import annotations

import copy

import pytest
import torch
from stretto.host.engine.lean import make_lean
from stretto.host.engine.lean_norm import LeanGroupNorm, LeanLayerNorm
from torch import nn


@pytest.mark.parametrize(
    ("norm", "shape", "kind"),
    [
        (nn.GroupNorm(4, 16, eps=1e-6), (2, 16, 5, 3), LeanGroupNorm),
        (nn.GroupNorm(2, 16, affine=False), (1, 16, 7), LeanGroupNorm),
        (nn.LayerNorm(16), (2, 5, 16), LeanLayerNorm),
        (nn.LayerNorm((5, 16), bias=False), (2, 5, 16), LeanLayerNorm),
        (nn.LayerNorm(16, elementwise_affine=False), (5, 16), LeanLayerNorm),
    ],
)
def test_a_norm_gives_the_same_to_the_bit(norm, shape, kind):
    for weight in norm.parameters():
        nn.init.normal_(weight)
    network = nn.Sequential(copy.deepcopy(norm))
    make_lean(network)
    assert type(network[0]) is kind
    assert list(network[0].state_dict()) == list(norm.state_dict())
    taken = torch.randn(shape)
    assert torch.equal(network(taken), norm(taken))


def test_hooks_are_heard():
    network = nn.Sequential(nn.GroupNorm(2, 4))
    make_lean(network)
    network[0].register_forward_hook(lambda _layer, _taken, given: given + 1)
    taken = torch.randn(1, 4, 2, 2)
    assert torch.equal(network(taken), nn.GroupNorm(2, 4)(taken) + 1)


def test_other_norms_stay_what_they_are():
    network = nn.Sequential(nn.BatchNorm2d(4), nn.InstanceNorm2d(4), nn.RMSNorm(4))
    make_lean(network)
    assert [type(one) for one in network] == [nn.BatchNorm2d, nn.InstanceNorm2d, nn.RMSNorm]
