from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from stretto.host.contracts.plan import Chunking
from stretto.host.engine.control import Controls, Guide, Moment, folded
from stretto.host.engine.latents import lay_windows


@dataclass
class Net:
    """A ControlNet that gives what it is told times its own size."""

    size: float = 1.0
    channels: int = 4
    seen: list[torch.Tensor] = field(default_factory=list)

    @property
    def config(self) -> Any:
        return SimpleNamespace(in_channels=self.channels)

    def __call__(
        self, noisy: Any, _t: Any, *, controlnet_cond: Any, conditioning_scale: Any, **_: Any
    ) -> Any:
        assert noisy.shape[1] == self.channels
        self.seen.append(controlnet_cond)
        value = controlnet_cond.mean() * self.size * conditioning_scale
        return [value, 2 * value], 3 * value


def taken(*pictures: torch.Tensor, channels: int = 4) -> torch.Tensor:
    cells = [folded(picture) for picture in pictures]
    return torch.cat([torch.zeros(1, channels, *cells[0].shape[-2:]), *cells], dim=1)


def test_several_are_summed_each_with_its_picture_and_scale():
    one, other = torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), 1.0)
    controls = Controls(
        guides=(Guide(network=Net(2.0)), Guide(network=Net(1.0), scale=0.25)), unet_channels=4
    )
    found = controls.residuals(taken(one, other), 0, {}, Moment(0, 4))
    assert [float(value) for value in found["down_block_additional_residuals"]] == [1.25, 2.5]
    assert float(found["mid_block_additional_residual"]) == 3.75


@pytest.mark.parametrize(
    ("start", "end", "guided"),
    [
        (0.0, 1.0, [0, 1, 2, 3]),
        (0.25, 1.0, [1, 2, 3]),
        (0.3, 0.8, [2]),
        (0.0, 0.5, [0, 1]),
        (0.0, 0.1, []),
    ],
)
def test_start_and_end_are_shares_of_the_calls(start, end, guided):
    guide = Guide(network=Net(), start=start, end=end)
    assert [call for call in range(4) if guide.guides(Moment(call, 4))] == guided


def test_nothing_is_added_and_no_network_runs_outside():
    net = Net()
    controls = Controls(guides=(Guide(network=net, start=0.5),), unet_channels=4)
    assert controls.residuals(taken(torch.ones(1, 3, 16, 16)), 0, {}, Moment(0, 4)) == {}
    assert not net.seen


def test_an_inpainting_unets_mask_is_not_shown():
    net = Net()
    picture = torch.rand(1, 3, 16, 16)
    controls = Controls(guides=(Guide(network=net),), unet_channels=9)
    controls.residuals(taken(picture, channels=9), 0, {}, Moment(0, 1))
    assert torch.equal(net.seen[0], picture)


def test_a_window_cuts_its_part_of_the_picture_to_the_pixel():
    picture = torch.rand(1, 3, 64, 128)
    mosaic = lay_windows((64, 128), Chunking(size_px=64, stride_px=24, blur_px=8))
    assert len(mosaic.windows) > 2
    net = Net()
    controls = Controls(guides=(Guide(network=net),), unet_channels=4)

    def predict(rows: torch.Tensor) -> torch.Tensor:
        controls.residuals(rows, 0, {}, Moment(0, 1))
        return rows[:, :4]

    both = folded(picture).repeat(2, 1, 1, 1)  # two samples
    latents = torch.rand(2, 4, 8, 16)
    blended = type(mosaic)(
        windows=mosaic.windows, down=mosaic.down, across=mosaic.across, total=mosaic.total, beside=both
    ).blend(latents, predict)
    torch.testing.assert_close(blended, latents)
    (seen,) = net.seen
    for i, window in enumerate(mosaic.windows):
        left = window.left * 8
        expected = picture[..., left : left + 64]
        assert torch.equal(seen[2 * i : 2 * i + 2], expected.repeat(2, 1, 1, 1))
