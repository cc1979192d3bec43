"""How far what an engine gives is from what torch gives on the same inputs, and how far it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..contracts.engines import ParityReport
from ..contracts.models import Precision

__all__ = ["BOUNDS", "LEAST_COSINE", "compare", "failed", "worst"]

# The largest error allowed, relative to the largest value that torch gives. Two libraries add up in
# different orders: over the depth of a full UNet that makes 1e-5 in float32 (1e-3 where a GPU multiplies
# in TF32), and as much more in the others as their numbers are shorter, 2^13 and 2^16 times.
BOUNDS: Mapping[Precision, float] = {
    Precision.FLOAT32: 2e-3,
    Precision.FLOAT16: 2e-2,
    Precision.BFLOAT16: 8e-2,
}
LEAST_COSINE = 0.999  # between all values of one output; a network with other weights is below 0.9


def compare(expected: Sequence[torch.Tensor], got: Sequence[torch.Tensor], bound: float) -> ParityReport:
    """Compare outputs pairwise; errors are relative to the largest value of the expected one, and the worst counts.

    What is not a finite number, or of another shape, does not pass.
    """
    if len(expected) != len(got):
        return failed(bound, f"{len(got)} outputs came instead of {len(expected)}")
    found = [_pair(index, *pair, bound) for index, pair in enumerate(zip(expected, got, strict=True))]
    return worst(found) if found else failed(bound, "there are no outputs")


def worst(reports: Sequence[ParityReport]) -> ParityReport:
    """Give one report of several: the largest errors, the least cosine, the first reason against."""
    return ParityReport(
        max_error=max(report.max_error for report in reports),
        mean_error=max(report.mean_error for report in reports),
        cosine=min(report.cosine for report in reports),
        bound=min(report.bound for report in reports),
        passed=all(report.passed for report in reports),
        why=next((report.why for report in reports if report.why), ""),
    )


def _pair(index: int, expected: torch.Tensor, got: torch.Tensor, bound: float) -> ParityReport:
    if expected.shape != got.shape:
        return failed(bound, f"output {index} is {tuple(got.shape)} instead of {tuple(expected.shape)}")
    wanted, given = expected.detach().cpu().double().flatten(), got.detach().cpu().double().flatten()
    if not torch.isfinite(given).all():
        return failed(bound, f"output {index} has values that are no numbers")
    if not torch.isfinite(wanted).all():
        return failed(bound, f"output {index} of torch has values that are no numbers")
    # of an output that is zero all over, the error itself
    scale = float(wanted.abs().max()) or 1.0
    errors = (wanted - given).abs() / scale
    largest = float(errors.max())
    lengths = float(wanted.norm() * given.norm())
    cosine = float(wanted @ given) / lengths if lengths else float(torch.equal(wanted, given))
    why = ""
    if largest > bound:
        why = f"output {index} is {largest:.2g} of its largest value off; {bound:.2g} is allowed"
    elif cosine < LEAST_COSINE and largest > 0:
        why = f"output {index} has a cosine of {cosine:.5f} with torch's; {LEAST_COSINE} is allowed"
    return ParityReport(
        max_error=largest,
        mean_error=float(errors.mean()),
        cosine=min(cosine, 1.0),
        bound=bound,
        passed=not why,
        why=why,
    )


def failed(bound: float, why: str) -> ParityReport:
    """Give the report of outputs that cannot be compared, and why."""
    infinite = float("inf")
    return ParityReport(
        max_error=infinite, mean_error=infinite, cosine=-1.0, bound=bound, passed=False, why=why
    )
