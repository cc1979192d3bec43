"""Holds a whole plugin to what a host expects: a light import, hooks, declared forms, public names, every offer."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...contracts.request import InvocationRequest
from ...contracts.specs import Spec
from ...errors import ConfigurationError, StrettoError
from ...plugboard.discover import BUILT_INS, GROUP
from ...plugboard.parameters import plain_values
from ...plugboard.registry import KINDS
from ...plugboard.tables import read_table
from ...promise import DECLARATION, STRETTO_API
from ..borders import private_imports
from ..trial import Plugin, Subject, on_trial
from .every_kind import HEAVY, imported_by
from .isolated import look_there
from .offers import check_offer_of
from .report import BreachError, Checks, Listener, Report, SkippedError
from .supplies import Supplies

if TYPE_CHECKING:
    from ...runtime.host import Host

__all__ = ["assert_plugin_conforms", "check_plugin"]

TOLD = ("build_plan", "run_step", "observe")  # hooks that are called for each job
QUICK = InvocationRequest(prompt="a red circle", seed=1, num_inference_steps=2)


def assert_plugin_conforms(plugin: Plugin, *, files: Mapping[str, Path] | None = None) -> Report:
    """Check a whole plugin and all that it offers; raises AssertionError with every breach and what would do.

    `plugin` is a file, a project's folder, a module, or the name of a plugin that is installed.
    """
    return check_plugin(plugin, files=files).require()


def check_plugin(
    plugin: Plugin,
    *,
    files: Mapping[str, Path] | None = None,
    offers: bool = True,
    listener: Listener | None = None,
) -> Report:
    """Check as `assert_plugin_conforms` does, and give what was found; `listener` hears of each check.

    Without `offers` it is checked alone, and not what it offers.

    Raises ConfigurationError for what is no plugin.
    """
    report = Report()
    with Supplies(plugins=(plugin,)) as supplies, on_trial((plugin,), supplies.root / "tried") as subjects:
        for subject in subjects:
            checks = Checks("plugin", subject.name, listener or Listener())
            on = _check_subject(subject, checks, supplies)
            report += checks.report()
            for spec in _offers(subject, supplies.host) if on and offers else ():
                report += check_offer_of(spec, files=files, supplies=supplies, listener=listener)
    return report


def _check_subject(subject: Subject, checks: Checks, supplies: Supplies) -> bool:
    """Check all but the offers; say whether it is on, so that there are any."""
    checks.processes = supplies.processes
    checks.run("importing it pulls in no torch", partial(_check_import, subject, supplies))
    checks.run("it imports what is public alone", partial(_check_borders, subject, supplies))
    plugin = checks.run("a host takes it", partial(_opened, subject, supplies))
    if plugin is None:
        return False
    checks.run("it says which API it works with", partial(_check_range, subject, plugin))
    for form in ("Settings", "Parameters"):
        checks.run(f"its {form} are valid", partial(_check_form, plugin, form))
    hooks = [
        name for name in TOLD if hasattr(plugin, name) and (subject.environment is None or name != "run_step")
    ]
    if hooks:
        checks.run(f"a picture is drawn with its {', '.join(hooks)}", partial(_check_draws, supplies))
    return True


def _module_of(subject: Subject) -> str:
    if subject.module is not None:
        return subject.module
    if subject.file is not None:
        return f"stretto_plugin_{subject.file.stem}"
    if subject.entry is not None:
        return subject.entry.partition(":")[0].strip()
    if subject.name in BUILT_INS:
        return f"{GROUP}.plugins.{subject.name}"
    (entry, *_) = importlib.metadata.entry_points(group=GROUP, name=subject.name)
    return entry.module


def _check_import(subject: Subject, supplies: Supplies) -> None:
    name, file = _module_of(subject), str(subject.file or "")
    if subject.environment is not None:
        name, file = look_there(subject, name, supplies)
    heavy = sorted(set(HEAVY) & set(imported_by(name, file, supplies)))
    if heavy:
        raise BreachError(f"importing '{name}' imports {', '.join(heavy)}; import them inside `build`")


def _check_borders(subject: Subject, supplies: Supplies) -> None:
    if subject.roots:
        place = subject.roots[-1]  # the project's folder
    elif subject.file is not None:
        place = subject.file
    else:
        origin = _source(subject, supplies)
        place = origin.parent if origin.name == "__init__.py" else origin
    taken = private_imports(place)
    if taken:
        raise BreachError("; ".join(str(one) for one in taken))


def _source(subject: Subject, supplies: Supplies) -> Path:
    file = supplies.apart[1] if supplies.apart is not None else ""
    if subject.environment is None:
        found = importlib.util.find_spec(_module_of(subject))
        file = "" if found is None else found.origin or ""
    if not Path(file).is_file():
        raise SkippedError("its source is not there to be read")
    return Path(file)


def _opened(subject: Subject, supplies: Supplies) -> object:
    try:
        return supplies.host.board.named(subject.name)
    except StrettoError as error:
        raise BreachError(str(error)) from error


def _check_range(subject: Subject, plugin: object) -> None:
    module = sys.modules.get(getattr(plugin, "__module__", None) or type(plugin).__module__)
    declared = getattr(plugin, DECLARATION, None) or getattr(module, DECLARATION, None)
    if declared is None and subject.name in BUILT_INS:
        return  # it comes with the host
    if declared is None:
        major = int(STRETTO_API.partition(".")[0])
        raise BreachError(f'write {DECLARATION} = ">={STRETTO_API},<{major + 1}" at the top of its module')


def _check_form(plugin: object, name: str) -> None:
    form: Any = getattr(plugin, name, None)
    if form is None:
        return
    if not isinstance(form, type) or not is_dataclass(form):
        raise BreachError(f"`{name}` is no dataclass; write @dataclass(frozen=True) over it")
    if not form.__dataclass_params__.frozen:  # type: ignore[attr-defined]  # is_dataclass says nothing of it
        raise BreachError(f"`{name}` is not frozen; write @dataclass(frozen=True)")
    needed = [
        entry.name for entry in fields(form) if entry.default is MISSING and entry.default_factory is MISSING
    ]
    if needed:
        raise BreachError(f"`{name}` has no default for {', '.join(needed)}; who says nothing gets defaults")
    written = {key: value for key, value in plain_values(form()).items() if value is not None}
    try:
        read_table(written, form, name)
    except ConfigurationError as error:
        raise BreachError(f"its own defaults cannot be read back: {error}") from error


def _check_draws(supplies: Supplies) -> None:
    from PIL import Image

    host = supplies.host
    if "starter" not in host.offers("models"):
        raise SkippedError("the starter's weights are not in this installation")
    finished = [host.run_here(host.plan(QUICK)) for _ in range(2)]
    first, again = (
        [Image.open(host.folders.images / name).tobytes() for name in done.images] for done in finished
    )
    if not first:
        raise BreachError("no picture came of a plain request; give the frame on, or None")
    if first != again:
        raise BreachError(
            "one seed gave two pictures; draw from `bench.plan.seed`, not from a generator of your own"
        )


def _offers(subject: Subject, host: Host) -> Iterator[Spec]:
    for kind in KINDS:
        registry = host.board.registry(kind)
        yield from (spec for name, spec in registry.items() if registry.owner(name) == subject.name)
