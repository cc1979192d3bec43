"""What an H200 should do, and what others reached or physics allows, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["FIGURES", "TARGETS", "Figure", "Measured", "Target", "judged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One way on one model: milliseconds of a step at a batch, of decoding it, and seconds to build and open."""

    way: str
    model: str
    batch: int
    step_ms: float
    decode_ms: float
    guided: bool = True
    build_s: float | None = None
    open_s: float = 0.0
    first_s: float = 0.0  # of the first step, which some ways compile at
    again_s: float | None = None  # to open and make a step in a second process

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value of those that FIGURES sets targets for, and what it was measured with."""

    name: str
    value: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a figure should be; `why` says what to do, or what is not there, where none was measured."""

    what: str
    unit: str
    must: float
    aim: float
    why: str
    record: str = "-"
    least: bool = False


FIGURES: Mapping[str, Bounds] = {
    "fp8": Bounds(
        what="SDXL 1024 px, 20 steps, batched, fp8", unit="img/s", must=2.0, aim=2.4, record="2.40 (MLPerf)",
        least=True, why="there is no fp8 among our precisions (float32, float16, bfloat16)",
    ),
    "ratio": Bounds(
        what="HTTP service over the same pipeline in-process", unit="x", must=0.97, aim=0.99, least=True,
        why="--only service measures it",
    ),
    "gap": Bounds(
        what="gap between queued jobs", unit="ms", must=10, aim=3, why="--only service measures it",
    ),
    "cold": Bounds(
        what="torch.compile, cold, to the first step", unit="s", must=120, aim=45,
        why="--only networks with torch_compile measures it",
    ),
    "cached": Bounds(
        what="torch.compile, a second process, to the first step", unit="s", must=20, aim=10,
        why="--only networks with torch_compile measures it",
    ),
    "resident": Bounds(
        what="switch to a resident model", unit="ms", must=5, aim=1, why="--only switch measures it",
    ),
    "pinned": Bounds(
        what="switch to SDXL in pinned memory", unit="s", must=0.5, aim=0.2,
        why="our pool keeps no pinned copies; the row of --only switch tells a load from the page cache",
    ),
}  # fmt: skip


def judged(found: Sequence[Measured], figures: Sequence[Figure] = ()) -> list[Mapping[str, str]]:
    """Give one row a target: the best of all ways, or that nothing measured it and why."""
    guided = [one for one in found if one.guided]
    rows = [_judged(target, [one for one in guided if one.model == target.model]) for target in TARGETS]
    return rows + [
        _figured(bounds, [one for one in figures if one.name == name]) for name, bounds in FIGURES.items()
    ]


def _figured(bounds: Bounds, found: Sequence[Figure]) -> Mapping[str, str]:
    row = {"target": bounds.what, "unit": bounds.unit, "must": f"{bounds.must:g}", "aim": f"{bounds.aim:g}"}
    if not found:
        return row | {
            "measured": "-", "by": bounds.why, "met": "not measured", "record / floor": bounds.record,
        }  # fmt: skip
    # the worst of the models counts, so that none hides another
    worst = (min if bounds.least else max)(found, key=lambda one: one.value)

    def holds(bound: float) -> bool:
        return worst.value >= bound if bounds.least else worst.value <= bound

    met = "aim" if holds(bounds.aim) else "must" if holds(bounds.must) else "missed"
    return row | {
        "measured": f"{worst.value:.3g}", "by": worst.by, "met": met, "record / floor": bounds.record,
    }  # fmt: skip


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
