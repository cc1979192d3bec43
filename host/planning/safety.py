"""Whether pictures are checked before anybody sees them, and by which weights: asked for, found, or refused."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ..contracts.models import WeightFile, WeightKind
from ..contracts.plan import Plan
from ..contracts.protocols import HostView
from ..contracts.request import InvocationRequest
from ..contracts.steps import CheckSafety, Diffuse, Refine, Step
from ..errors import ConfigurationError, Fault
from ..settings import Folders
from .files import find_file

__all__ = [
    "fetching",
    "find_checker",
    "guarded",
    "missing_checker",
    "require_checker",
    "resolve_checker",
    "unchecked",
    "with_checks",
]

SOURCE = "CompVis/stable-diffusion-safety-checker"
SETTINGS = ("config.json", "preprocessor_config.json")
# how JSON bodies may write it, as pydantic reads them
TRUE = ("true", "1", "yes", "on", "t", "y")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def find_checker(folders: Folders) -> WeightFile | None:
    """Find the safety checker's weights; None unless its settings are beside them."""
    folder = _folder(folders)
    if any(not (folder / name).is_file() for name in SETTINGS):
        return None
    return find_file(folder, WEIGHTS, WeightKind.SAFETY)


def missing_checker(folders: Folders) -> str | None:
    """Say why pictures cannot be checked here, and what would do; None if they can."""
    if find_checker(folders) is not None:
        return None
    folder = _folder(folders)
    return (
        f"the safety checker's weights are not here, so nothing would be checked; it needs {', '.join(SETTINGS)} and "
        f"{' or '.join(WEIGHTS)} in {folder}, for instance by: "
        f"{fetching(folders)}"
    )


def fetching(folders: Folders) -> str:
    """Give the command that fetches the weights; nothing is ever fetched without the user's doing so."""
    includes = " ".join(f"--include {name}" for name in (*SETTINGS, *WEIGHTS))
    return f"hf download {SOURCE} {includes} --local-dir {shlex.quote(str(_folder(folders)))}"


def require_checker(folders: Folders, *, safe: bool) -> None:
    """Raise ConfigurationError when the setting `safe` is on and there is nothing to check with."""
    reason = missing_checker(folders) if safe else None
    if reason is not None:
        raise ConfigurationError(
            f"the setting safe is on, and {reason}; or switch it off by: stretto settings --set safe=false"
        )


def unchecked(given: Mapping[str, object], folders: Folders) -> Iterator[Fault]:
    """Give the fault of settings, as they are given, that ask for a safety checker where there is none."""
    asked = str(given.get("safe")).strip().lower() in TRUE
    reason = missing_checker(folders) if asked else None
    if reason is not None:
        yield Fault(field="safe", message=reason)


def resolve_checker(
    request: InvocationRequest, host: HostView, fault: Callable[[str, str], None], note: Callable[[str], None]
) -> WeightFile | None:
    """Give the weights to check with, None if nothing is checked: the request decides, else the setting."""
    safe = host.settings.safe if request.safe is None else request.safe
    if not safe:
        if host.settings.safe:
            note("safe: the caller switched the safety checker off for this invocation")
        return None
    found = find_checker(host.folders)
    if found is None:
        fault("safe", str(missing_checker(host.folders)))
    elif request.intermediates:
        note("safe: no intermediates are shown, since they would not be checked")
    return found


def with_checks(plan: Plan, steps: Iterable[Step]) -> tuple[Step, ...]:
    """Have pictures checked as soon as they are drawn or refined; several nodes' once they are laid together.

    What enlarging draws over is not looked at again: of such detail the checker says little that is true.
    """
    if plan.checker is None:
        return tuple(steps)
    check = CheckSafety(checker=plan.checker, why="check that the pictures are safe")
    checked: list[Step] = []
    for step in steps:
        checked.append(step)
        drawn = isinstance(step, Refine) or (isinstance(step, Diffuse) and step.node.parted_at is None)
        if drawn and not plan.composed:
            checked.append(check)
    return (*checked, check) if check not in checked else tuple(checked)


def guarded(plan: Plan, host: HostView) -> Plan:
    """Have a recorded plan checked where the setting `safe` is on, whatever it was recorded under."""
    if not host.settings.safe or plan.checker is not None:
        return plan
    require_checker(host.folders, safe=True)
    checked = replace(plan, checker=find_checker(host.folders), intermediates=False)
    return checked.with_note("safe: checked as the settings here say; the recorded plan was not")


def _folder(folders: Folders) -> Path:
    return folders.model_folder(WeightKind.SAFETY.value)
