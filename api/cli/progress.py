"""A progress bar on stderr over the events of one job."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from stretto.host.contracts.events import Event, ModelLoaded, Planned, StepProgress, StepStarted
from tqdm import tqdm

__all__ = ["ProgressBar"]

# step/total, denoising iterations a second, time gone and remaining
FORMAT = "{desc}: {percentage:3.0f}%|{bar:30}| {n_fmt}/{total_fmt} [{rate_fmt}, {elapsed}<{remaining}]"


class ProgressBar:
    """Draws the ticks of a job as they are reported; what it drew is ended when it is left."""

    def __init__(self) -> None:
        self._bar: tqdm[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, event: Event) -> None:
        """Draw what one event says; unknown events draw nothing."""
        match event:
            case Planned(total=total):
                self._bar = tqdm(
                    total=total,
                    desc="Loading",
                    unit="it",
                    file=sys.stderr,
                    bar_format=FORMAT,
                    dynamic_ncols=True,
                )
            case StepStarted(task=task) if self._bar is not None and task:
                self._bar.set_description_str(task)
            case ModelLoaded() if self._bar is not None:
                # What loading took says nothing about how long the rest will.
                self._bar.unpause()
            case StepProgress() if self._bar is not None:
                if event.task:
                    self._bar.set_description_str(event.task, refresh=False)
                self._bar.total = max(event.total, self._bar.total or 0)
                self._bar.update(event.step - self._bar.n)
            case _:
                pass
