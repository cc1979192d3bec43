"""What crosses the pipe between the host and its worker: plans down, events and outcomes up, several at a time."""

from __future__ import annotations

from dataclasses import dataclass

from ..contracts.events import Event, Failed, Finished
from ..contracts.plan import Plan
from ..contracts.ports import Job
from ..plugboard.switches import Switches
from ..settings import Folders, Settings

__all__ = ["Beat", "Boot", "Cancel", "Done", "Down", "LastWords", "Quit", "Ready", "Run", "Up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """All that a worker needs to open its own host; `parent_pid` is the process that it serves, `niceness` is nice(2)'s."""

    folders: Folders
    settings: Settings
    switches: Switches
    parent_pid: int
    niceness: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Do this job; its events are numbered from `number` + 1."""

    job: Job
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Stop this job at its next tick."""

    uuid: str


@dataclass(frozen=True, slots=True)
class Quit:
    """Leave when there is nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The worker has opened its host and found its device."""

    device: str


@dataclass(frozen=True, slots=True)
class Beat:
    """The worker is alive; sent every second from a thread of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A job is over; `plan` is its plan with what the engine noted in it."""

    plan: Plan
    outcome: Finished | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class LastWords:
    """Why the worker is about to leave unasked."""

    message: str


Down = Run | Cancel | Quit
Up = Ready | Beat | Event | Done | LastWords
