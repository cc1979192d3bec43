"""Holds one offer to what its kind promises; a kind's checks are imported when there is an offer of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from ...contracts.routes import CommandSpec, RouteSpec
from ...contracts.specs import (
    BackgroundRemoverSpec,
    CompilerSpec,
    ControlNetSpec,
    LoaderSpec,
    ModelOffer,
    PatcherSpec,
    PreprocessorSpec,
    SchedulerSpec,
    Spec,
    UpscalerSpec,
    VaeSpec,
)
from ...errors import ConfigurationError
from ...plugboard.registry import KINDS
from .every_kind import check_every_kind
from .given import Given
from .report import Checks, Listener, Report
from .supplies import Supplies

__all__ = ["assert_conforms", "check_offer_of"]

# The kind of offer -> the module that checks it, its function, and whether that may be given files.
CHECKS: Mapping[type[Spec], tuple[str, str, bool]] = {
    SchedulerSpec: ("schedulers", "check_scheduler", False),
    UpscalerSpec: ("upscalers", "check_upscaler", True),
    BackgroundRemoverSpec: ("backgrounds", "check_background_remover", True),
    ControlNetSpec: ("controls", "check_controlnet", True),
    PreprocessorSpec: ("controls", "check_preprocessor", True),
    VaeSpec: ("models", "check_vae", True),
    ModelOffer: ("models", "check_model", False),
    LoaderSpec: ("loaders", "check_loader", True),
    PatcherSpec: ("patchers", "check_patcher", True),
    CompilerSpec: ("compilers", "check_compiler", False),
    RouteSpec: ("routes", "check_route", False),
    CommandSpec: ("commands", "check_command", False),
}


def assert_conforms(
    spec: Spec, *, files: Mapping[str, Path] | None = None, supplies: Supplies | None = None
) -> Report:
    """Check one offer of any kind on the CPU; raises AssertionError with every breach and what would do.

    `files` are weight files by the names that the offer has for them; what cannot be checked without one
    is skipped, and its row says so. Tests that share `supplies` make tiny models once.
    """
    return check_offer_of(spec, files=files, supplies=supplies).require()


def check_offer_of(
    spec: Spec,
    *,
    files: Mapping[str, Path] | None = None,
    supplies: Supplies | None = None,
    listener: Listener | None = None,
) -> Report:
    """Check one offer as `assert_conforms` does, and give what was found; `listener` hears of each check."""
    word = next((kind.word for kind in KINDS.values() if type(spec) is kind.spec), None)
    if word is None:
        known = ", ".join(kind.spec.__name__ for kind in KINDS.values())
        raise ConfigurationError(f"{type(spec).__name__} is no offer; known: {known}")
    checks = Checks(word, str(spec.name), listener or Listener())
    with nullcontext(supplies) if supplies is not None else Supplies() as stock:
        checks.processes = stock.processes
        check_every_kind(spec, checks, stock)
        _check_kind(spec, checks, Given(files=dict(files or {})), stock)
    return checks.report()


def _check_kind(spec: Any, checks: Checks, given: Given, supplies: Supplies) -> None:
    where, name, takes_files = CHECKS[type(spec)]
    check: Any = getattr(import_module(f".{where}", __package__), name)
    check(spec, checks, *((given,) if takes_files else ()), supplies)
