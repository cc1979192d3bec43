"""Writes a line for each job that is finished."""

from pathlib import Path

from stretto.host import Finished, hookimpl


@hookimpl
def observe(event):
    if isinstance(event, Finished):
        with Path("diary.txt").open("a", encoding="utf-8") as diary:
            diary.write(f"{event.job} {event.seconds:.1f} s\n")
