"""A resumable optimisation: models, their optimiser, their moving average, the random states and the checkpoint."""

import copy
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

CHECKPOINT_EVERY_S: Final = 150.0
REPORT_EVERY_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Where and how long a stage may work."""

    work: Path
    device: torch.device
    deadline: float | None = None  # of time.monotonic()
    half: bool = True  # bfloat16 autocast
    stopped: threading.Event = field(
        default_factory=threading.Event
    )  # set from outside to stop after this step

    @property
    def out_of_time(self) -> bool:
        """Whether the run's minutes are over, or it was told to stop."""
        return self.stopped.is_set() or (self.deadline is not None and time.monotonic() >= self.deadline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a stage optimises; the rate warms up, stays, and falls to nothing over the last part."""

    name: str
    steps: int
    rate: float
    warm_up: int = 100
    fall_from: float = 0.6  # fraction of the steps after which the rate falls linearly
    ema: float = 0.999
    clip: float = 1.0
    weight_decay: float = 0.01
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """The learning rate of one step."""
        done = step / self.steps
        fall = min(1.0, max(0.02, (1 - done) / (1 - self.fall_from)))
        return self.rate * min(1.0, (step + 1) / self.warm_up) * fall


@dataclass(slots=True)
class Progress:
    """What the progress line shows."""

    losses: list[float] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)
    steps: int = 0


class Learner:
    """Models in training. Running a stage again after a stop goes on with the very step that would have come."""

    def __init__(
        self, run: Run, plan: Plan, models: Mapping[str, nn.Module], weights: Mapping[str, float]
    ) -> None:
        """`weights` scales the rate of each model by name; models it does not name are trained at the full rate."""
        self.run, self.plan, self.models = run, plan, dict(models)
        self.path = run.work / f"{plan.name}.checkpoint.pt"
        self.rng = random.Random(plan.seed)
        torch.manual_seed(plan.seed)
        for model in self.models.values():
            model.to(run.device)
        self.averages = {
            name: copy.deepcopy(m).requires_grad_(requires_grad=False) for name, m in self.models.items()
        }
        groups = [
            {"params": [p for p in m.parameters() if p.requires_grad], "scale": weights.get(name, 1.0)}
            for name, m in self.models.items()
        ]
        self.optimiser = torch.optim.AdamW(
            groups, plan.rate, betas=(0.9, 0.99), weight_decay=plan.weight_decay, fused=True
        )
        self.step = 0
        self._progress = Progress()
        self._saved_at = time.monotonic()
        if self.path.exists():
            self._load()

    def steps(self) -> Iterator[int]:
        """The steps that remain, until the plan's end or the run's; saves as it goes and when it stops."""
        while self.step < self.plan.steps and not self.run.out_of_time:
            yield self.step
            if time.monotonic() - self._saved_at > CHECKPOINT_EVERY_S:
                self.save()
        self.save()

    @property
    def finished(self) -> bool:
        """Whether every step of the plan is done."""
        return self.step >= self.plan.steps

    def update(self, loss: Tensor) -> None:
        """One optimiser step, and the average's."""
        rate = self.plan.rate_at(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self.plan.clip)
        self.optimiser.step()
        self.step += 1
        decay = min(self.plan.ema, (1 + self.step) / (20 + self.step))
        with torch.no_grad():
            for name, model in self.models.items():
                torch._foreach_lerp_(
                    list(self.averages[name].parameters()), list(model.parameters()), 1 - decay
                )
        self._report(float(loss.detach()))

    def save(self) -> None:
        """Write the checkpoint in one move, so that a stop never leaves half of one."""
        state = {
            "models": {name: m.state_dict() for name, m in self.models.items()},
            "averages": {name: m.state_dict() for name, m in self.averages.items()},
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "rng": self.rng.getstate(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if self.run.device.type == "cuda" else [],
        }
        save_atomically(state, self.path)
        self._saved_at = time.monotonic()

    def _load(self) -> None:
        state: dict[str, Any] = torch.load(self.path, map_location=self.run.device, weights_only=True)
        for name, model in self.models.items():
            model.load_state_dict(state["models"][name])
            self.averages[name].load_state_dict(state["averages"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        for group in self.optimiser.param_groups:
            group.update(fused=True, foreach=None)  # a loaded group brings its own
        self.step = state["step"]
        version, internal, gauss = state["rng"]
        self.rng.setstate((version, tuple(internal), gauss))
        torch.set_rng_state(state["torch"].cpu())
        if self.run.device.type == "cuda":
            torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])

    def _report(self, loss: float) -> None:
        line = self._progress
        line.losses.append(loss)
        line.steps += 1
        elapsed_s = time.monotonic() - line.since
        if elapsed_s > REPORT_EVERY_S:
            mean = sum(line.losses) / len(line.losses)
            left_min = (self.plan.steps - self.step) * elapsed_s / line.steps / 60
            print(
                f"{time.strftime('%H:%M:%S')} {self.plan.name} {self.step}/{self.plan.steps} "
                f"loss {mean:.4f} {line.steps / elapsed_s:.2f} steps/s, {left_min:.0f} min left",
                flush=True,
            )
            self._progress = Progress()


def save_atomically(state: object, path: Path) -> None:
    """`torch.save` that leaves either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)  # noqa: PTH105  (Path.replace does the same; this one is known to be atomic)
