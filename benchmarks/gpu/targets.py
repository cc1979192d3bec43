"""What an H200 should do, and what others reached or physics allows, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["TARGETS", "Measured", "Target", "judged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One way on one model: milliseconds of a step at a batch, of decoding it, and seconds to build and open."""

    way: str
    model: str
    batch: int
    step_ms: float
    decode_ms: float
    build_s: float | None = None
    open_s: float = 0.0

    def image_s(self, steps: int) -> float:
        """Give the seconds of one batch of pictures."""
        return (steps * self.step_ms + self.decode_ms) / 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One line of the targets; `batched` counts the best batch, otherwise a single picture."""

    what: str
    model: str
    steps: int
    unit: str  # "s", "it/s" or "img/s"
    must: float
    aim: float
    record: str
    batched: bool = False

    def value(self, found: Measured) -> float:
        """Give what was measured in the target's unit."""
        seconds = found.image_s(self.steps)
        return {"s": seconds, "it/s": self.steps / seconds, "img/s": found.batch / seconds}[self.unit]

    def met(self, value: float) -> str:
        """Say which of the two is met."""

        def holds(bound: float) -> bool:
            return value <= bound if self.unit == "s" else value >= bound

        return "aim" if holds(self.aim) else "must" if holds(self.must) else "missed"


# For one H200. Records: TensorRT on an H100 and MLPerf Inference; floors: FLOPs over 790 TFLOP/s.
TARGETS = (
    Target(
        what="SDXL 1024 px, 30 steps", model="sdxl", steps=30, unit="s", must=1.30, aim=1.05,
        record="1.471 (H100 TensorRT), floor 0.527",
    ),
    Target(
        what="SDXL 1024 px, 20 steps, batched", model="sdxl", steps=20, unit="img/s", must=1.6, aim=1.9,
        record="2.40 (MLPerf, fp8), floor 2.81", batched=True,
    ),
    Target(
        what="SD 1.5 512 px, 50 steps", model="sd15", steps=50, unit="it/s", must=90, aim=120,
        record="61 (A100 TensorRT), floor 476",
    ),
    Target(
        what="SD 1.5 512 px, 20 steps, batched", model="sd15", steps=20, unit="img/s", must=8, aim=11,
        record="floor 22.8", batched=True,
    ),
)  # fmt: skip


def judged(found: Sequence[Measured]) -> list[Mapping[str, str]]:
    """Give one row a target: the best of all ways, or that nothing measured it."""
    return [_judged(target, [one for one in found if one.model == target.model]) for target in TARGETS]


def _judged(target: Target, found: Sequence[Measured]) -> Mapping[str, str]:
    usable = [one for one in found if target.batched or one.batch == 1]
    row = {"target": target.what, "unit": target.unit, "must": f"{target.must:g}", "aim": f"{target.aim:g}"}
    if not usable:
        return row | {"measured": "-", "by": "-", "met": "not measured", "record / floor": target.record}
    pick = min if target.unit == "s" else max
    best = pick(usable, key=target.value)
    value = target.value(best)
    return row | {
        "measured": f"{value:.3g}",
        "by": f"{best.way}, batch {best.batch}",
        "met": target.met(value),
        "record / floor": target.record,
    }
