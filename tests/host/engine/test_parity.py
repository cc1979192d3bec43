"""How far engines are from torch, and what does not pass."""

from __future__ import annotations

import pytest
import torch
from stretto.host import Precision
from stretto.host.engine.parity import BOUNDS, compare

EXPECTED = torch.linspace(-4, 4, 101).reshape(1, 101)


def test_equal_outputs_pass():
    report = compare([EXPECTED, EXPECTED], [EXPECTED, EXPECTED.clone()], 1e-6)
    assert (report.passed, report.max_error, report.mean_error, report.why) == (True, 0, 0, "")
    assert report.cosine == pytest.approx(1)


def test_errors_are_relative_to_the_largest_value():
    other = EXPECTED.clone()
    other[0, 7] += 0.04
    report = compare([EXPECTED], [other], 0.011)
    assert report.passed
    assert report.max_error == pytest.approx(0.01)
    assert report.mean_error == pytest.approx(0.01 / 101)
    assert not compare([EXPECTED], [other], 0.009).passed


def test_the_worst_output_counts():
    report = compare([EXPECTED, EXPECTED], [EXPECTED, EXPECTED + 1], 0.1)
    assert not report.passed
    assert report.max_error == pytest.approx(0.25)
    assert report.why == "output 1 is 0.25 of its largest value off; 0.1 is allowed"


def test_small_errors_all_over_are_seen_by_the_cosine():
    small = torch.full((1000,), 0.001)
    small[0] = 1
    other = -small
    other[0] = 1
    report = compare([small], [other], 0.01)
    assert report.max_error < 0.01
    assert not report.passed
    assert "cosine" in report.why


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("whose", ["engine", "torch"])
def test_what_is_no_number_does_not_pass(value, whose):
    broken = EXPECTED.clone()
    broken[0, 3] = value
    pair = ([EXPECTED], [broken]) if whose == "engine" else ([broken], [broken])
    report = compare(*pair, 1.0)
    assert not report.passed
    assert "no numbers" in report.why


def test_other_shapes_and_counts_do_not_pass():
    assert "(101, 1) instead of (1, 101)" in compare([EXPECTED], [EXPECTED.T], 1.0).why
    assert compare([EXPECTED], [], 1.0).why == "0 outputs came instead of 1"
    assert not compare([], [], 1.0).passed


def test_an_output_of_zeros_is_measured_as_it_is():
    zeros = torch.zeros(5)
    assert compare([zeros], [zeros], 1e-3).passed
    assert not compare([zeros], [zeros + 0.01], 1e-3).passed


def test_types_of_numbers_do_not_matter():
    assert compare([EXPECTED.bfloat16()], [EXPECTED], BOUNDS[Precision.BFLOAT16]).passed
    assert set(BOUNDS) == set(Precision)
