"""Several prompts on one canvas: which prediction counts where, in how few calls."""

from __future__ import annotations

import pytest
import torch
from stretto.host.contracts.plan import Chunking
from stretto.host.engine import latents as limits
from stretto.host.engine.conditioning import Conditions
from stretto.host.engine.denoise import denoise, guide
from stretto.host.engine.latents import lay_windows
from stretto.host.engine.regions import Mixed, lay_regions
from stretto.host.engine.schedule import lay_out
from stretto.host.geometry import Window
from stretto.plugins.schedulers import register_schedulers

CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
CHUNKING = Chunking(size_px=64, stride_px=32, blur_px=16)


def told(*numbers: float, guidance: float = 1.0, length: int = 3) -> Conditions:
    tokens = torch.tensor(numbers).view(-1, 1, 1).expand(len(numbers), length, 2).clone()
    return Conditions(tokens=tokens, pooled=None, time_ids=None, guidance=guidance)


class Told:
    """Predicts, everywhere, the number that a row is told, and remembers how many rows each call had."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, rows, *, told, rounds):
        assert rounds == (False, False)
        self.calls.append(len(rows))
        numbers = told.repeated(len(rows))["encoder_hidden_states"][:, 0, 0]
        return numbers.view(-1, 1, 1, 1).expand_as(rows).clone()


def test_each_region_follows_its_own_words_and_the_rest_those_of_the_whole():
    areas = [Window(0, 0, 8, 8), Window(4, 16, 8, 8)]
    regions = lay_regions((96, 192), areas, [told(1.0), told(2.0), told(5.0)], CHUNKING)
    blended = regions.blend(torch.zeros(2, 4, 12, 24), Told())
    assert float(blended[..., :6, :6].sub(1).abs().max()) == 0
    assert float(blended[..., 6:10, 18:22].sub(2).abs().max()) == 0
    assert float(blended[..., 8:, :16].sub(5).abs().max()) == 0
    edge = blended[0, 0, 0, :10]
    assert [round(float(cell), 4) for cell in edge[5:10]] == [1.0, 2.3333, 3.6667, 5.0, 5.0]


def test_where_regions_overlap_they_are_averaged_by_weight():
    areas = [Window(0, 0, 8, 16), Window(0, 8, 8, 16)]
    regions = lay_regions((64, 192), areas, [told(1.0), told(3.0), told(9.0)], CHUNKING)
    blended = regions.blend(torch.zeros(1, 4, 8, 24), Told())[0, 0, 0]
    assert blended.tolist() == pytest.approx([1] * 8 + [1.5, 1.8, 2, 2, 2, 2, 2.2, 2.5] + [3] * 8)


def test_a_small_region_is_drawn_with_what_is_around_it():
    regions = lay_regions((128, 128), [Window(1, 12, 3, 4)], [told(2.0), told(5.0)], CHUNKING)
    small = regions.regions[0]
    assert small.area == Window(0, 8, 8, 8)
    assert small.mosaic.windows == (Window(0, 0, 8, 8),)
    blended = regions.blend(torch.zeros(1, 4, 16, 16), Told())[0, 0]
    assert blended[2, 11:].tolist() == pytest.approx([5, 3.5, 2, 2, 2])
    changed = (blended - 5).abs() > 0.01
    assert changed[1:4, 12:].all()
    assert int(changed.sum()) == 3 * 4


def test_regions_of_one_shape_share_calls(monkeypatch):
    areas = [Window(top, left, 8, 8) for top in (0, 8) for left in (0, 8)]
    regions = lay_regions((128, 128), areas, [told(float(n)) for n in range(5)], CHUNKING)
    assert len(regions.windows) == len(regions.regions) == 4  # nothing is left for the whole
    for limit, calls in ((64 * 8 * 8, [8]), (4 * 8 * 8, [4, 4]), (1, [1] * 8)):
        monkeypatch.setitem(limits._CALL_LIMIT_CELLS, "cpu", limit)
        network = Told()
        blended = regions.blend(torch.zeros(2, 4, 16, 16), network)
        assert network.calls == calls
        assert [float(blended[1, 0, area.top, area.left]) for area in areas] == pytest.approx([0, 1, 2, 3])


@pytest.mark.parametrize("other", [{"length": 6}, {"guidance": 4.0}, {"area": Window(0, 8, 8, 9)}])
def test_what_cannot_share_a_call_has_its_own(other):
    area = other.pop("area", Window(0, 8, 8, 8))
    guided = (0.0, 2.0) if "guidance" in other else (2.0,)
    guides = [told(1.0), told(*guided, **other), told(9.0)]
    chunking = Chunking(size_px=64, stride_px=0, blur_px=16)
    regions = lay_regions((64, 136), [Window(0, 0, 8, 8), area], guides, chunking)
    seen: list[tuple[int, ...]] = []

    def predict(rows, *, told, rounds):
        given = guide(
            lambda taken, _, **text: (taken * 0 + text["encoder_hidden_states"][:, :1, :1, None],),
            rows,
            torch.tensor(1),
            told,
        )
        seen.append(tuple(given.shape))
        return given

    blended = regions.blend(torch.zeros(1, 4, 8, 17), predict)
    assert len(seen) >= 2
    assert float(blended[0, 0, 0, 0]) == 1.0
    assert float(blended[0, 0, 0, 11]) == (8.0 if "guidance" in other else 2.0)


def test_each_region_has_its_own_guidance():
    mixed = Mixed.of((told(1.0, 2.0, guidance=3.0), told(0.0, 1.0, guidance=5.0)), "ab", samples=2)

    def says_the_prompt(taken, t, *, encoder_hidden_states, return_dict):
        return (encoder_hidden_states[:, 0, 0].view(-1, 1, 1, 1).expand_as(taken).clone(),)

    guided = guide(says_the_prompt, torch.zeros(4, 4, 2, 2), torch.tensor(1), mixed)
    assert guided[:, 0, 0, 0].tolist() == [4.0, 4.0, 5.0, 5.0]


class Silent:
    def __init__(self) -> None:
        self.rows = 0

    def predicted(self, call, rows):
        assert call in range(4)
        self.rows += rows

    def stepped(self, call, latents):
        pass


def network(taken, t, *, encoder_hidden_states, return_dict):
    """See the neighbours, as convolutions do, so that windows matter."""
    return (torch.tanh(taken + taken.roll(1, -1)) * 0.3 + encoder_hidden_states.mean() + t * 1e-5,)


@pytest.mark.parametrize("stride", [0, 32])
@pytest.mark.parametrize("tile", [(False, False), (True, False)])
def test_one_region_over_all_is_the_plain_picture_to_the_bit(stride, tile):
    chunking = Chunking(size_px=64, stride_px=stride, blur_px=16, tile=tile)
    drawn = []
    words = told(0.1, 0.2, guidance=4.0)
    regions = lay_regions((104, 144), [Window(0, 0, 13, 18)], [words, told(9.0, 9.0)], chunking)
    for mosaic in (lay_windows((104, 144), chunking), regions):
        spec = next(spec for spec in register_schedulers() if spec.name == "eads")
        schedule = lay_out(spec.build(CONFIG), 4, torch.Generator().manual_seed(3))
        start = torch.randn(2, 4, 13, 18, generator=torch.Generator().manual_seed(1))
        heard = Silent()
        if tile[0] and not stride:
            drawn.append(denoise(start, Sees(), schedule, words, mosaic, heard))
        else:
            drawn.append(denoise(start, network, schedule, words, mosaic, heard))
        assert heard.rows == 4 * 2 * len(mosaic.windows)
    assert torch.equal(*drawn)


class Sees(torch.nn.Module):
    """A convolution, which is told apart when its padding wraps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(4, 4, 3, padding=1)
        torch.nn.init.constant_(self.conv.weight, 0.01)
        torch.nn.init.zeros_(self.conv.bias)

    def forward(self, taken, _t, **_told):
        assert "_conv_forward" in vars(self.conv)
        return (torch.tanh(self.conv(taken)),)


def test_what_is_avoided_at_one_place_is_predicted_once():
    rows = []

    def counts(taken, t, *, encoder_hidden_states, return_dict):
        rows.append(len(taken))
        return (taken * encoder_hidden_states[:, 0, 0].view(-1, 1, 1, 1),)

    areas = [Window(top, left, 4, 4) for top in (0, 4) for left in (0, 4)]
    words = [told(0.5, float(n), guidance=2.0) for n in range(4)]
    start = torch.randn(2, 4, 8, 8)

    def blended(avoided):
        guides = [*words[:3], told(avoided, 3.0, guidance=2.0), told(9.0, 9.0)]
        regions = lay_regions((64, 64), areas, guides, Chunking(size_px=64, stride_px=32, blur_px=0))
        assert {region.area for region in regions.regions} == {Window(0, 0, 8, 8)}
        return regions.blend(start, lambda taken, told, **_: guide(counts, taken, torch.tensor(1), told))

    shared = blended(0.5)
    for number, area in enumerate(areas):
        part = (..., slice(area.top, area.top + 4), slice(area.left, area.left + 4))
        torch.testing.assert_close(shared[part], start[part] * (0.5 + 2.0 * (number - 0.5)))
    other = blended(0.25)
    torch.testing.assert_close(other[..., 4:, 4:], start[..., 4:, 4:] * (0.25 + 2.0 * (3 - 0.25)))
    torch.testing.assert_close(other[..., :4, :], shared[..., :4, :])
    assert rows == [2 * (1 + 4), 2 * (2 + 4)]
