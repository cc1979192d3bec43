"""What happened to a job: small frozen values, numbered per job, that cross the worker's pipe."""

from __future__ import annotations

from dataclasses import dataclass, field

from .acceleration import Acceleration

__all__ = [
    "EngineBuilt", "Event", "Failed", "Finished", "ModelEvicted", "ModelLoaded", "ModelMoved", "Planned", "Queued", "Started",
    "StepEased", "StepFinished", "StepProgress", "StepStarted",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The part that all events share: `number` counts from 1 within a job, `at` is Unix seconds."""

    job: str
    number: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued(Event):
    """The job is durable and waits for the worker; `position` 0 is next."""

    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Event):
    """The worker has ordered the plan into steps; `total` is the number of progress ticks."""

    steps: tuple[str, ...] = ()
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """The worker has the job; `attempt` is 1, or 2 after a worker died under it."""

    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    """A step of the plan begins; `task` says it in words."""

    task: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress(Event):
    """Ticks done so far over the whole job; `rate` is denoising iterations a second."""

    step: int = 0
    total: int = 0
    rate: float | None = None
    task: str = ""
    intermediates: tuple[str, ...] = ()  # file names in the intermediates folder


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoaded(Event):
    """A model became resident, in `seconds`, taking `size_bytes` of the pool's budget."""

    model: str = ""
    seconds: float = 0.0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEvicted(Event):
    """A model left the pool; `why` names the rule."""

    model: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMoved(Event):
    """A resident model went to a device, or off it while another one works, in `seconds`."""

    model: str = ""
    device: str = ""
    seconds: float = 0.0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEased(Event):
    """The device was full, and the step begins anew; `rung` says what is done about it."""

    task: str = ""
    rung: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineBuilt(Event):
    """An engine of `size_bytes` is in the cache, built in `seconds` now or before; `why` it is not verified yet."""

    component: str = ""
    compiler: str = ""
    target: str = ""
    digest: str = ""
    state: str = ""
    why: str = ""
    seconds: float = 0.0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(Event):
    """A step of the plan is done."""

    task: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """The job is done; `images` are file names in the images folder."""

    images: tuple[str, ...] = ()
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())
    acceleration: Acceleration | None = None  # what came of it, where engines were asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """The job ended without pictures; `title` is the error's class, `message` its words."""

    title: str = ""
    message: str = ""
    seconds: float = 0.0
