"""What checks found: one row a check, with its time and memory, and what would mend a breach."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from ...plugboard.discover import reason

__all__ = ["BreachError", "Checks", "Listener", "Report", "Row", "SkippedError"]

T = TypeVar("T")
Outcome = Literal["passed", "failed", "skipped"]


class BreachError(Exception):
    """A promise that is not kept: what was found, and what would do."""


class SkippedError(Exception):
    """A check that cannot be made here, and what it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One check of one offer; `peak_bytes` is by how much the process grew meanwhile, 0 where that is not known."""

    kind: str
    name: str
    check: str
    outcome: Outcome
    seconds: float = 0.0
    peak_bytes: int = 0
    detail: str = ""  # of a breach what would do, of a skipped check what it needs

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Report:
    """All rows, in the order in which they were checked."""

    rows: tuple[Row, ...] = ()

    def __add__(self, other: Report) -> Report:
        return Report((*self.rows, *other.rows))

    @property
    def breaches(self) -> tuple[Row, ...]:
        """Give the rows that failed."""
        return tuple(row for row in self.rows if row.outcome == "failed")

    @property
    def skipped(self) -> tuple[Row, ...]:
        """Give the rows that could not be checked, each with what it needs."""
        return tuple(row for row in self.rows if row.outcome == "skipped")

    def require(self) -> Report:
        """Give the report; raises AssertionError with every breach and what would do."""
        if self.breaches:
            lines = [f"  {row.kind} '{row.name}': {row.check}: {row.detail}" for row in self.breaches]
            count = f"{len(lines)} of {len(self.rows)} checks failed"
            raise AssertionError("\n".join([f"{count}:", *lines]))
        return self


class Listener:
    """Hears of checks while they run; this one lets all pass by."""

    def begun(self, kind: str, name: str, check: str) -> None:
        """Hear that a check begins."""

    def ended(self, row: Row) -> None:
        """Hear what came of one."""


@dataclass(slots=True)
class Checks:
    """Runs the checks of one offer and keeps their rows."""

    kind: str
    name: str
    listener: Listener = field(default_factory=Listener)
    rows: list[Row] = field(default_factory=list)
    processes: Callable[[], tuple[int, ...]] = tuple  # whose memory counts beside this one's

    def run(self, check: str, work: Callable[[], T]) -> T | None:
        """Run one check and give what it gave; None where it did not pass."""
        self.listener.begun(self.kind, self.name, check)
        outcome: Outcome = "passed"
        detail, given = "", None
        before, start = _fresh_peaks(self.processes()), time.perf_counter()
        try:
            given = work()
        except BreachError as error:
            outcome, detail = "failed", str(error)
        except SkippedError as error:
            outcome, detail = "skipped", str(error)
        except Exception as error:  # noqa: BLE001 - a plugin's code; the row says what it raised
            outcome, detail = "failed", f"raised {reason(error)}"
        self._keep(check, outcome, detail, (time.perf_counter() - start, _grown(before, self.processes())))
        return given

    def skip(self, checks: Iterable[str], why: str) -> None:
        """Keep rows of checks that cannot be made here."""
        for check in checks:
            self._keep(check, "skipped", why, (0.0, 0))

    def report(self) -> Report:
        """Give what there is."""
        return Report(tuple(self.rows))

    def _keep(self, check: str, outcome: Outcome, detail: str, cost: tuple[float, int]) -> None:
        row = Row(
            kind=self.kind,
            name=self.name,
            check=check,
            outcome=outcome,
            seconds=cost[0],
            peak_bytes=cost[1],
            detail=detail,
        )
        self.rows.append(row)
        self.listener.ended(row)


def _fresh_peaks(others: Iterable[int]) -> dict[str, int]:
    """Begin to measure the largest sizes of processes anew, and give their sizes now; nothing where that cannot be done.

    See `clear_refs` in https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html.
    """
    sizes = {}
    for pid in ("self", *map(str, others)):
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")
            sizes[pid] = _status(pid, "VmRSS")
        except OSError:  # another system, one that does not let us, or it has just ended
            continue
    return sizes


def _grown(since: dict[str, int], others: Iterable[int]) -> int:
    if not since:
        return 0
    total = 0
    for pid in ("self", *map(str, others)):
        with suppress(OSError):  # it has just ended
            total += max(0, _status(pid, "VmHWM") - since.get(pid, 0))
    return total


def _status(pid: str, key: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text("ascii")
    found = re.search(rf"^{key}:\s*(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
