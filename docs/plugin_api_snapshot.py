"""Keeps what each version of the plugin API promised, a file a version, and says what a change of it needs.

`make plugin-api` writes the file of `STRETTO_API`. One of a version that was released is never written again; of
one that was not, changes that break are only taken with ANEW=1, for nobody was promised it yet.
"""  # noqa: INP001 - a script beside the pages, not a package

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from plugin_api import described
from plugin_api_changes import Change, changes, enough

__all__ = ["CHANGELOG", "SNAPSHOTS", "faults", "kept", "main", "section", "way_out", "written"]

ROOT = Path(__file__).parents[1]
SNAPSHOTS = ROOT / "tests" / "plugin_api" / "snapshots"
CHANGELOG = ROOT / "CHANGELOG.md"
INNERMOST = re.compile(r"([\[{])\s+([^\[\]{}]*?)\s+([\]}])")
Shape = Mapping[str, Any]


def kept(folder: Path = SNAPSHOTS) -> dict[str, Shape]:
    """Give the snapshots by version, the oldest first."""
    files = {path.stem: path for path in folder.glob("*.json")}
    return {
        version: json.loads(files[version].read_text(encoding="utf-8"))
        for version in sorted(files, key=lambda text: [int(part) for part in text.split(".")])
    }


def section(changelog: str, version: str) -> tuple[str, bool]:
    """Give what the changelog tells authors about a version, and whether that was released; empty if nothing."""
    release, found, released = "", [], False
    inside = False
    for line in changelog.splitlines():
        if line.startswith("## "):
            release = line
        if line.startswith("#"):
            inside = line.strip() == f"### Plugin API {version}"
            released = released or (inside and not release.endswith("unreleased"))
        elif inside:
            found.append(line)
    return "\n".join(found).strip(), released


def way_out(old: str, found: Sequence[Change], *, released: bool) -> str:
    """Say in full what changed since the version `old` and what to do about it."""
    first, second = (int(part) for part in old.split("."))
    broken = any(change.breaking for change in found)
    step = f"{first + 1}.0" if broken else f"{first}.{second + 1}"
    lines = [f"The plugin API is not what version {old} promised:", *(f"  {change}" for change in found)]
    if released:
        lines += [
            f'Take the change back, or set STRETTO_API = "{step}" in host/promise.py, tell authors what to do under',
            f"`### Plugin API {step}` in CHANGELOG.md, naming all of these, and run `make plugin-api`.",
        ]
    else:
        command = "make plugin-api ANEW=1" if broken else "make plugin-api"
        lines.append(f"{old} was never released, so `{command}` takes the change in, if it is meant.")
    return "\n".join(lines)


def faults(snapshots: Mapping[str, Shape], now: Shape, changelog: str) -> list[str]:
    """Hold the API of this moment, its snapshots and the changelog to each other; give what does not fit."""
    version = now["version"]
    if version not in snapshots:
        return [f"there is no snapshot of STRETTO_API {version}; run `make plugin-api`"]
    said = []
    versions = list(snapshots)
    if versions[-1] != version:
        said.append(f"STRETTO_API is {version}, and there is a snapshot of {versions[-1]}")
    found = changes(snapshots[version], now)
    if found:
        said.append(way_out(version, found, released=section(changelog, version)[1]))
    for old, new in pairwise(versions):
        said += _stepped(old, new, changes(snapshots[old], snapshots[new]), changelog)
    said += [
        f"CHANGELOG.md has no section `### Plugin API {one}` that tells authors what to do"
        for one in versions
        if not section(changelog, one)[0]
    ]
    return said


def _stepped(old: str, new: str, found: Sequence[Change], changelog: str) -> list[str]:
    said = []
    if not enough(old, new, found):
        lines = "\n".join(f"  {change}" for change in found)
        said.append(
            f"the step from {old} to {new} is too small for these; call it {int(old.partition('.')[0]) + 1}.0:\n{lines}"
        )
    words = section(changelog, new)[0]
    unnamed = sorted({change.name for change in found if change.name.split(".")[0] not in words})
    if unnamed:
        said.append(f"CHANGELOG.md, Plugin API {new}, says nothing about {', '.join(unnamed)}")
    return said


def written(shape: Shape) -> str:
    """Write a snapshot as JSON, what is innermost on one line, so that a change is a line of a diff."""
    text = json.dumps(shape, indent=1, ensure_ascii=False)
    return INNERMOST.sub(lambda hit: hit[1] + " ".join(hit[2].split()) + hit[3], text) + "\n"


def main(
    arguments: Sequence[str] | None = None, folder: Path = SNAPSHOTS, changelog: Path = CHANGELOG
) -> int:
    """Write the snapshot of this version, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--anew", action="store_true", help="take changes that break, before a release")
    asked = parser.parse_args(arguments)
    now, snapshots = described(), kept(folder)
    version = now["version"]
    if version in snapshots:
        found = changes(snapshots[version], now)
        released = section(changelog.read_text(encoding="utf-8"), version)[1]
        if found and (released or (any(change.breaking for change in found) and not asked.anew)):
            sys.stderr.write(way_out(version, found, released=released) + "\n")
            return 1
        sys.stdout.write("".join(f"{change}\n" for change in found))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{version}.json").write_text(written(now), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
