"""The words of `tile`."""

import pytest
from stretto.api.tiling import tile_axes


@pytest.mark.parametrize(
    ("value", "axes"),
    [
        (True, [True, True]), (False, [False, False]), ("x", [True, False]), (" Y ", [False, True]),
        ("true", [True, True]), ([True, False], [True, False]), ([False, False], [False, False]),
    ],
)  # fmt: skip
def test_every_form(value: object, axes: list[bool]) -> None:
    assert tile_axes(value) == (axes, [])


@pytest.mark.parametrize("value", ["z", 1, [True], [True, 1], {}, [1, 0], 0.5])
def test_anything_else_is_a_fault(value: object) -> None:
    (fault,) = tile_axes(value)[1]
    assert fault.field == "tile"
    assert '"x", "y" or [x, y]' in fault.message
