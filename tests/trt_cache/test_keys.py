"""Equal keys share an engine, and every part of a key tells two apart."""

from __future__ import annotations

from dataclasses import fields

import pytest
from stretto.trt_cache.keys import AxisRange, EngineKey

from .engines import KEY, key

OTHER = {"axes": (("batch", AxisRange.only(1)),), "flags": ("refit", "fp8")}


def test_the_order_of_axes_and_flags_does_not_count():
    shuffled = key(axes=tuple(reversed(KEY.axes)), flags=("b", "a"))
    assert shuffled.digest == key(flags=("a", "b")).digest


@pytest.mark.parametrize("name", [field.name for field in fields(EngineKey)])
def test_every_part_counts(name):
    changed = key(**{name: OTHER.get(name, "other")})
    assert changed.digest != KEY.digest
    assert EngineKey.from_json(changed.to_json()) == changed


@pytest.mark.parametrize("lengths", [(0, 1, 1), (2, 1, 3), (1, 4, 3)])
def test_a_range_without_a_length_is_refused(lengths):
    low, opt, high = lengths
    with pytest.raises(ValueError, match="1 <= min <= opt <= max"):
        AxisRange(min=low, opt=opt, max=high)
