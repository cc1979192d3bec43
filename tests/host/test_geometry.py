import itertools
import math
from collections.abc import Sequence

import pytest
from stretto.host.geometry import (
    ANCHORS,
    FITS,
    Placement,
    Window,
    area_of,
    cells_under,
    feather,
    fitted,
    over_regions,
    round_up,
    window_count,
    windows,
)


@pytest.mark.parametrize(("value", "expected"), [(1, 8), (8, 8), (9, 16), (500, 504), (512, 512), (513, 520)])
def test_round_up(value: int, expected: int) -> None:
    assert round_up(value) == expected


def test_round_up_by_another_multiple() -> None:
    assert round_up(65, 64) == 128


def test_windows_go_row_by_row_and_stay_inside() -> None:
    # 10 rows x 13 columns of cells, windows of 8 moved by 3: the last row and column are shifted back.
    found = [(window.top, window.left) for window in windows(10, 13, 8, 3)]
    assert found == [(0, 0), (0, 3), (0, 5), (2, 0), (2, 3), (2, 5)]


@pytest.mark.parametrize(
    ("height", "width", "size", "stride"),
    [(64, 64, 64, 8), (128, 96, 64, 0), (32, 128, 64, 8), (128, 32, 64, 8), (64, 64, 64, 64)],
)
def test_one_window_covers_the_whole_canvas(height: int, width: int, size: int, stride: int) -> None:
    assert windows(height, width, size, stride) == (Window(0, 0, height, width),)
    assert window_count(height, width, size, stride) == 1


def test_number_of_windows_is_the_contracts() -> None:
    # 1024 px square, 512 px windows, 64 px apart: 81 windows a step
    assert len(windows(128, 128, 64, 8)) == 81


def _formula(length: int, size: int, stride: int) -> int:
    return math.ceil((length - size) / stride + 1)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_windows_cover_every_cell_with_positive_weight(size: int) -> None:
    for height, width, stride, blur in itertools.product(
        range(size, 20, 3), range(size, 20), range(1, size + 3), (0, 2, 9)
    ):
        laid = windows(height, width, size, stride)
        total = [[0.0] * width for _ in range(height)]
        for window in laid:
            assert 0 <= window.top <= height - window.height
            assert 0 <= window.left <= width - window.width
            down = feather(window.top, window.height, height, blur)
            across = feather(window.left, window.width, width, blur)
            for i, j in itertools.product(range(window.height), range(window.width)):
                total[window.top + i][window.left + j] += down[i] * across[j]
        assert min(map(min, total)) > 0
        assert len(set(laid)) == len(laid) == window_count(height, width, size, stride)
        if stride <= size:
            assert len(laid) == _formula(height, size, stride) * _formula(width, size, stride)


def test_feather_leaves_the_canvas_border_alone() -> None:
    assert feather(0, 4, 8, 3) == (1.0, 0.75, 0.5, 0.25)
    assert feather(4, 4, 8, 3) == (0.25, 0.5, 0.75, 1.0)
    assert feather(0, 4, 4, 3) == (1.0, 1.0, 1.0, 1.0)


def test_feather_wider_than_half_the_window_multiplies_from_both_ends() -> None:
    assert feather(2, 3, 9, 3) == pytest.approx((0.25 * 0.75, 0.5 * 0.5, 0.75 * 0.25))


def test_feather_of_no_blur_is_flat() -> None:
    assert feather(2, 3, 9, 0) == (1.0, 1.0, 1.0)


# source 40 x 20 on a canvas of 80 x 80; crop is always the whole image but for `cover`
SMALL = {
    "actual": ((40, 20), {"left": 0, "center": 20, "right": 40}, {"top": 0, "center": 30, "bottom": 60}),
    "contain": ((80, 40), {"left": 0, "center": 0, "right": 0}, {"top": 0, "center": 20, "bottom": 40}),
    "stretch": ((80, 80), {"left": 0, "center": 0, "right": 0}, {"top": 0, "center": 0, "bottom": 0}),
}


@pytest.mark.parametrize("anchor", ANCHORS)
@pytest.mark.parametrize("fit", SMALL)
def test_fit_with_room_left(fit: str, anchor: str) -> None:
    resize, across, down = SMALL[fit]
    row, column = anchor.split("-")
    expected = Placement(resize=resize, crop=(0, 0, *resize), at=(across[column], down[row]))
    assert fitted((40, 20), (80, 80), fit, anchor) == expected


@pytest.mark.parametrize("anchor", ANCHORS)
def test_cover_crops_by_the_anchor(anchor: str) -> None:
    left = {"left": 0, "center": 40, "right": 80}[anchor.split("-")[1]]
    expected = Placement(resize=(160, 80), crop=(left, 0, left + 80, 80), at=(0, 0))
    assert fitted((40, 20), (80, 80), "cover", anchor) == expected


@pytest.mark.parametrize("anchor", ANCHORS)
def test_actual_size_crops_what_is_too_large(anchor: str) -> None:
    row, column = anchor.split("-")
    left = {"left": 0, "center": 10, "right": 20}[column]
    at = {"top": 0, "center": 3, "bottom": 6}[row]
    placement = fitted((100, 10), (80, 16), "actual", anchor)
    assert placement == Placement(resize=(100, 10), crop=(left, 0, left + 80, 10), at=(0, at))
    assert placement.fills == (80, 10)


def test_no_words_mean_actual_size_at_the_top_left() -> None:
    assert fitted((9, 9), (20, 20), None, None) == fitted((9, 9), (20, 20), "actual", "top-left")


@pytest.mark.parametrize(("fit", "anchor"), itertools.product(FITS, ANCHORS))
def test_what_is_pasted_lies_on_the_canvas(fit: str, anchor: str) -> None:
    for source, target in itertools.product(
        itertools.product((1, 7, 64), repeat=2), itertools.product((8, 33, 100), repeat=2)
    ):
        placement = fitted(source, target, fit, anchor)
        left, top, right, bottom = placement.crop
        assert 0 <= left < right <= placement.resize[0]
        assert 0 <= top < bottom <= placement.resize[1]
        assert 0 <= placement.at[0] <= target[0] - placement.fills[0]
        assert 0 <= placement.at[1] <= target[1] - placement.fills[1]
        if fit in ("cover", "stretch"):
            assert placement.fills == target
        if fit == "contain":
            assert target[0] == placement.resize[0] or target[1] == placement.resize[1]


def covered(height: int, width: int, laid: Sequence[Window]) -> set[tuple[int, int]]:
    return {
        ((one.top + down) % height, (one.left + across) % width)
        for one in laid
        for down in range(one.height)
        for across in range(one.width)
    }


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 40), (16, 23), (8, 40)])
@pytest.mark.parametrize("stride", [3, 8, 16, 40])
@pytest.mark.parametrize("tile", [(True, False), (False, True), (True, True)])
def test_windows_that_wrap_cover_the_canvas_and_its_borders(
    height: int, width: int, stride: int, tile: tuple[bool, bool]
) -> None:
    laid = windows(height, width, 16, stride, tile)
    assert len(laid) == window_count(height, width, 16, stride, tile)
    assert len(covered(height, width, laid)) == height * width
    if len(laid) == 1:
        return
    for wraps, side, ends in (
        (tile[0], width, [w.left + w.width for w in laid]),
        (tile[1], height, [w.top + w.height for w in laid]),
    ):
        # from border to border, one window goes round by itself; a stride of its whole side meets there
        if wraps and side > 16 and stride < 16:
            assert any(end > side for end in ends)
        elif not wraps:
            assert max(ends) == side


def test_a_window_that_wraps_is_feathered_at_both_ends() -> None:
    assert feather(0, 4, 8, 1, wraps=True) == (0.5, 1.0, 1.0, 0.5)
    assert feather(0, 8, 8, 1, wraps=True) == (1.0,) * 8
    assert feather(0, 4, 8, 1) == (1.0, 1.0, 1.0, 0.5)


def test_regions_have_windows_of_their_own_and_the_rest_those_that_see_it() -> None:
    left, right = Window(0, 0, 16, 16), Window(0, 24, 16, 16)
    assert over_regions((16, 40), [left, right], 16, 8) == (
        (Window(0, 0, 16, 16),),
        (Window(0, 0, 16, 16),),
        (Window(0, 8, 16, 16), Window(0, 16, 16, 16)),
    )
    assert over_regions((16, 32), [Window(0, 0, 16, 16), Window(0, 16, 16, 16)], 16, 8)[-1] == ()
    whole = over_regions((20, 40), [Window(0, 0, 20, 40)], 16, 8)
    assert whole == (windows(20, 40, 16, 8), ())
    wrapping = over_regions((16, 40), [Window(0, 0, 16, 40)], 16, 8, (True, False))
    assert wrapping == (windows(16, 40, 16, 8, (True, False)), ())
    # the rest lies over the border that wraps
    middle = over_regions((16, 40), [Window(0, 4, 16, 32)], 16, 8, (True, False))
    assert [one.left for one in middle[-1]] == [0, 24, 32]


def test_a_small_region_is_seen_with_what_is_around_it() -> None:
    assert area_of(Window(1, 12, 3, 4), (16, 16), 8) == Window(0, 8, 8, 8)
    assert area_of(Window(6, 6, 4, 4), (16, 16), 8) == Window(4, 4, 8, 8)
    assert area_of(Window(0, 0, 4, 20), (6, 40), 8) == Window(0, 0, 6, 20)
    assert cells_under(3, 8, 17, 16) == Window(1, 0, 1, 3)
