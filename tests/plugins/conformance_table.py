"""Writes docs/reference/conformance.md: what the built-in plugins were held to, and what could not be checked.

`make conformance` runs it, in a minute or two, on a machine without a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from stretto.host.plugboard.registry import KINDS
from stretto.host.testing import Report, Supplies
from stretto.host.testing.conformance import check_offer_of, check_plugin

from .tiny_files import files_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"
HEAD = """# What the built-in plugins conform to

Written by `make conformance` from a run on a CPU. Each offer of each built-in plugin is held to
[what its kind promises](../howto/test-a-plugin.md#what-is-checked), over tiny random weights where it takes any;
`stretto plugins check NAME` does it without those. A check is skipped where it needs what is not there.
"""


def rows_of(reports: Sequence[tuple[str, Report]]) -> list[str]:
    """Give one line of the table an offer; raises AssertionError for one that conforms not."""
    lines = [
        "| plugin | kind | offer | passed | failed | skipped | for want of |",
        "|---|---|---|--:|--:|--:|---|",
    ]
    for plugin, report in reports:
        first = report.require().rows[0]
        skipped = [row.detail for row in report.skipped]
        passed = len(report.rows) - len(skipped)
        why = "; ".join(dict.fromkeys(skipped))
        lines.append(
            f"| {plugin} | {first.kind} | `{first.name}` | {passed} | {len(report.breaches)} | {len(skipped)} | {why} |"
        )
    return lines


def checked(supplies: Supplies) -> list[tuple[str, Report]]:
    """Check every built-in plugin, and what it offers, in the order of `stretto plugins list`."""
    found = []
    for row in supplies.host.plugins():
        whole = check_plugin(row.name, offers=False)
        found.append((row.name, whole))
        for kind, names in row.offers.items():
            for name in names:
                spec = supplies.host.offer(kind, name)
                found.append(
                    (row.name, check_offer_of(spec, files=files_of(kind, spec, supplies), supplies=supplies))
                )
    return found


def main() -> None:
    """Write the page."""
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TORCHINDUCTOR_VEC_ISA_OK": "1",
    }
    with Supplies() as supplies:
        reports = checked(supplies)
    kinds = len({kind for plugin, report in reports for kind in [report.rows[0].kind]})
    assert kinds <= len(KINDS) + 1
    checks = sum(len(report.rows) for _plugin, report in reports)
    skipped = sum(len(report.skipped) for _plugin, report in reports)
    total = f"{len(reports)} plugins and offers, {checks} checks: {checks - skipped} passed, 0 failed, {skipped} skipped."
    partial = PAGE.with_suffix(".partial")
    partial.write_text("\n".join([HEAD, total, "", *rows_of(reports), ""]), "utf-8")
    partial.replace(PAGE)


if __name__ == "__main__":
    main()
