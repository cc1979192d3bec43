"""What a job cost, told once at its end: how long its steps took, what plugins took, and who computed."""

from __future__ import annotations

from dataclasses import dataclass

from .events import Event

__all__ = ["EngineUse", "Measured", "Spent", "StageTook", "TickTook"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one plugin took for one hook; `failures` are exceptions that are no answer to a request.

    What a spec builds has hooks of its own, such as `scheduler.step`. `overruns` are calls that ran past their
    limit, `last` is what the last failure said.
    """

    plugin: str
    hook: str
    calls: int
    seconds: float
    failures: int = 0
    overruns: int = 0
    last: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTook:
    """One step of a plan, such as `Diffuse` or `Save`, and its seconds."""

    kind: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TickTook:
    """`count` ticks within a step of a plan that took so many seconds each, such as steps of denoising."""

    kind: str
    seconds: float
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUse:
    """What an acceleration came to: the components that ran compiled, and of how many it is said why they did not."""

    compiler: str
    used: tuple[str, ...] = ()
    missed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Event):
    """What a job cost, whether it ends well or not; told right before its last event."""

    stages: tuple[StageTook, ...] = ()
    ticks: tuple[TickTook, ...] = ()
    plugins: tuple[Spent, ...] = ()
    engine: EngineUse | None = None
