"""Isolated plugins on trial: a host over another data directory sees their environments, and changes nothing there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..isolation.environments import Environment
from .trial import Subject

__all__ = ["isolated_subject", "show", "tables_of"]

_KEPT = "descriptions"  # what the host itself keeps in an environment


def isolated_subject(environment: Environment, name: str, limits: Mapping[str, Any]) -> Subject:
    """Give the plugin `name` of an environment as what is to be tried, within the host's keys of its table."""
    return Subject(
        name=name,
        module=environment.plugins[name].partition(":")[0].strip(),
        environment=environment.folder,
        limits=dict(limits),
        version=environment.version,
    )


def show(subjects: Sequence[Subject], root: Path) -> None:
    """Put the environments of subjects under `root`, where a host looks for them, without a copy."""
    for subject in subjects:
        if subject.environment is not None:
            there = root / subject.environment.name
            there.mkdir(parents=True, exist_ok=True)
            for one in subject.environment.iterdir():
                if one.name != _KEPT and not (there / one.name).exists():
                    (there / one.name).symlink_to(one)


def tables_of(subjects: Sequence[Subject]) -> dict[str, dict[str, Any]]:
    """Give the tables of plugins.toml that have the isolated ones of subjects on."""
    apart = [subject for subject in subjects if subject.environment is not None]
    return {subject.name: {**subject.limits, "isolated": True} for subject in apart}
