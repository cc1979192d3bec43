"""A stopped training run goes on with the very step that would have come."""

import time
from pathlib import Path

import torch
from torch import nn

from training.starter.learner import Learner, Plan, Run


def _train(work: Path, stops: tuple[int, ...], total: int = 12) -> torch.Tensor:
    """Train a tiny model, stopping after each of `stops` steps, and return its weights."""
    for stop in (*stops, total):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        run = Run(work=work, device=torch.device("cpu"))
        learner = Learner(run, Plan(name="tiny", steps=stop, rate=0.0, seed=1), {"model": model}, {})
        # The plan's length changes the rate's fall, so the rate is kept the same here.
        learner.plan = Plan(name="tiny", steps=total, rate=0.1, seed=1)
        while learner.step < stop:
            inputs = torch.randn(4, 3) + learner.rng.random()
            learner.update(model(inputs).square().mean())
        learner.save()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_resuming_gives_the_same_steps(tmp_path: Path) -> None:
    whole = _train(tmp_path / "whole", ())
    stopped = _train(tmp_path / "stopped", (3, 7))
    assert torch.equal(whole, stopped)


def test_a_run_stops_when_its_time_is_over(tmp_path: Path) -> None:
    run = Run(work=tmp_path, device=torch.device("cpu"), deadline=time.monotonic() - 1)
    learner = Learner(run, Plan(name="late", steps=5, rate=0.1), {"model": nn.Linear(1, 1)}, {})
    assert list(learner.steps()) == []
    assert not learner.finished
    assert learner.path.exists()


def test_the_rate_warms_up_and_falls() -> None:
    plan = Plan(name="rate", steps=1000, rate=1.0, warm_up=100, fall_from=0.6)
    assert plan.rate_at(0) < plan.rate_at(50) < plan.rate_at(100) == plan.rate_at(500) == 1.0
    assert plan.rate_at(999) < plan.rate_at(800) < 1.0
