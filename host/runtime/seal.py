"""A plan's files with their SHA-256: read in another thread while the job draws, recorded with its pictures."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from ..contracts.models import WeightFile
from ..contracts.plan import Plan
from ..errors import WeightsError

__all__ = ["Seal"]


class Seal:
    """The digests of one plan's files, each being read or known."""

    def __init__(self, plan: Plan, digest: Callable[[Path], str], thread: Executor) -> None:
        self._found: dict[str, Future[str]] = {}

        def ask(file: WeightFile) -> WeightFile:
            if file.path not in self._found:
                self._found[file.path] = thread.submit(digest, Path(file.path))
            return file

        _each(plan, ask)

    def ready(self, within_s: float) -> bool:
        """Wait so long at most, and say whether every file is read."""
        return not wait(self._found.values(), timeout=within_s).not_done

    def on(self, plan: Plan, note: Callable[[str], None]) -> Plan:
        """Give the plan with the digest of each of its files; `note` hears of those that could not be read.

        Raises WeightsError for a file that is another one than the plan was drawn with.
        """

        def sealed(file: WeightFile) -> WeightFile:
            future = self._found[file.path]
            if isinstance(error := future.exception(), OSError):
                note(f"the SHA-256 of {file.path} is not recorded: it could not be read ({error})")
                return file
            digest = future.result()
            if file.sha256 not in {"", digest}:
                raise WeightsError(
                    f"{file.path} is not the '{file.name or file.path}' that the plan was drawn with (SHA-256 "
                    f"{digest}, not {file.sha256}); put that one back, or invoke the prompt anew"
                )
            return replace(file, sha256=digest)

        done: Plan = _each(plan, sealed)
        return done


def _each(value: Any, change: Callable[[WeightFile], WeightFile]) -> Any:
    """Give a value with every weight file in it changed."""
    if isinstance(value, tuple):
        return tuple(_each(item, change) for item in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    parts = {field.name: _each(getattr(value, field.name), change) for field in fields(value)}
    whole = replace(value, **parts)
    return change(whole) if isinstance(whole, WeightFile) else whole
