"""One measured row, and the table that all of them make; knows nothing of how they are measured."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Row", "machine", "save", "table"]

WHOLE = 1000  # from here on figures are whole numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure, its bound, and how it was come by; `value` must not exceed `bound`, or fall below it with `least`.

    A figure without a bound is stated, and holds.
    """

    name: str
    value: float
    bound: float | None
    unit: str
    detail: str
    least: bool = False

    @property
    def holds(self) -> bool:
        """Say whether the bound is kept."""
        if self.bound is None:
            return True
        return self.value >= self.bound if self.least else self.value <= self.bound


def machine() -> str:
    """Describe the machine in a line: processor, cores, Python."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
            break
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def table(rows: Sequence[Row]) -> str:
    """Draw the rows as a Markdown table."""
    lines = ["| what | measured | bound | holds | how |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.name} | {_figure(row.value)} {row.unit} | {_bound(row)} | {row.detail} |" for row in rows
    ]
    return "\n".join(lines)


def _bound(row: Row) -> str:
    if row.bound is None:
        return "none | stated"
    return f"{'>=' if row.least else '<='} {row.bound:g} {row.unit} | {'yes' if row.holds else '**no**'}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= WHOLE else f"{value:.3g}"


def save(rows: Sequence[Row], folder: Path) -> Path:
    """Write the rows with date, machine and load as JSON beside a Markdown table; give the latter.

    A day's second table is `<date>-2`, and so on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    today = datetime.now(tz=UTC).date().isoformat()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    record = {"date": today, "machine": machine(), "load": load, "rows": [asdict(row) for row in rows]}
    names = [today, *(f"{today}-{number}" for number in range(2, 100))]
    free = next(name for name in names if not (folder / f"{name}.json").exists())
    (folder / f"{free}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    page = folder / f"{free}.md"
    page.write_text(f"# {free}\n\n{machine()}; load {load}.\n\n{table(rows)}\n", encoding="utf-8")
    return page
