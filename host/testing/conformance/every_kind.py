"""What holds for an offer of any kind: its words, a light import, and builds that share nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, TypeVar

from ...contracts.specs import Spec
from ...errors import StrettoError
from ...isolation.process import RaisedThereError
from ...isolation.proxies import Opened
from ...plugboard.discover import reason
from .report import BreachError, Checks
from .supplies import Supplies

__all__ = [
    "BUILT_TWICE",
    "HEAVY",
    "built_twice",
    "check_every_kind",
    "code_of",
    "imported_by",
    "raises_ours",
    "two_objects",
]

T = TypeVar("T")
# What no plugin may import while it is imported or asked for its offers.
HEAVY = ("torch", "torchvision", "diffusers", "transformers", "tensorrt", "onnxruntime")
BUILT_TWICE = "build twice gives two objects"
IMPORT_TIMEOUT_S = 60
MOST_LETTERS = 64
_CHILD = """
import importlib, importlib.util, json, sys
name, file = sys.argv[1:]
try:
    there = importlib.util.find_spec(name) is not None
except (ImportError, ValueError):
    there = False
if there:
    importlib.import_module(name)
else:
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
print(json.dumps(sorted(sys.modules)))
"""


def check_every_kind(spec: Spec, checks: Checks, supplies: Supplies) -> None:
    """Check what an offer says of itself, and the import of the module that it is from."""
    checks.run("name, title and aliases are valid", partial(_check_words, spec))
    checks.run("importing it pulls in no torch", partial(_check_import, spec, supplies))


def two_objects(build: Callable[[], T], made: list[T] | None = None) -> T:
    """Build twice and give the second; raises BreachError where both are one object, which is put into `made`."""
    first, second = build(), build()
    if first is second or (isinstance(first, Opened) and first.is_one()):
        if made is not None:
            made.append(first)
        raise BreachError(
            "`build` gave one object twice; make a new one at each call, since what one job does to it is "
            "not the next one's"
        )
    return second


def built_twice(checks: Checks, build: Callable[[], T]) -> T | None:
    """Check that two builds share nothing, and give one to go on with; None where there is none."""
    made: list[T] = []
    checks.run(BUILT_TWICE, lambda: made.append(two_objects(build, made)))
    return made[-1] if made else None


def raises_ours(work: Callable[[], object], on: str) -> None:
    """Check that `work` fails with an error that `stretto.host` exports; `on` says what it is given."""
    try:
        work()
    except StrettoError as error:
        if isinstance(error.__cause__, RaisedThereError):
            raise BreachError(
                f"on {on} it raises {error.__cause__}; raise one of stretto.host instead, such as WeightsError, that "
                "says what is wrong and what would do"
            ) from error
        if not str(error).strip():
            raise BreachError(f"on {on} it raises {type(error).__name__} without a word") from error
    except Exception as error:
        raise BreachError(
            f"on {on} it raises {reason(error)}; raise one of stretto.host instead, such as "
            "WeightsError, that says what is wrong and what would do"
        ) from error
    else:
        raise BreachError(
            f"{on} is taken without a word; raise an error of stretto.host, such as WeightsError, that names it"
        )


def code_of(spec: Spec) -> Any | None:
    """Give a function of the offer, by which its module is known; None for an offer of values alone."""
    for entry in fields(spec):
        value = getattr(spec, entry.name)
        while isinstance(value, partial):
            value = value.func
        if callable(value) and not (
            isinstance(value, type) and is_dataclass(value) and entry.name in ("query", "body", "answer")
        ):
            module = getattr(value, "__module__", None) or type(value).__module__
            if module != "stretto.host.contracts.specs":  # a default
                return value
    return None


def imported_by(name: str, file: str, supplies: Supplies) -> list[str]:
    """Say which modules there are once `name` (or else `file`) is imported, in a process of its own."""
    key = name, file
    if key not in supplies.imports:
        done = subprocess.run(  # noqa: S603 - our own interpreter, and a module that this process has imported
            [sys.executable, "-c", _CHILD, name, file],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            capture_output=True,
            text=True,
            check=False,
            timeout=IMPORT_TIMEOUT_S,
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise BreachError(f"'{name}' cannot be imported by itself: {last}")
        supplies.imports[key] = json.loads(done.stdout.splitlines()[-1])
    return supplies.imports[key]


def _check_words(spec: Spec) -> None:
    if not isinstance(spec.aliases, tuple):
        raise BreachError(f"aliases are {spec.aliases!r}; write a tuple of strings")
    words = (spec.name, *spec.aliases)
    for word in words:
        if not isinstance(word, str) or word.strip() != word or not word or not word.isprintable():
            raise BreachError(f"{word!r} is no name; a name is printable text without spaces around it")
        if len(word) > MOST_LETTERS:
            raise BreachError(f"the name {word!r} has {len(word)} letters; take at most {MOST_LETTERS}")
    twice = {word for word in words if words.count(word) > 1}
    if twice:
        raise BreachError(f"it has the name {sorted(twice)} twice; leave it out of the aliases")
    if not isinstance(spec.title, str) or "\n" in spec.title:
        raise BreachError(f"the title is {spec.title!r}; write one line for people")


def _check_import(spec: Spec, supplies: Supplies) -> None:
    code = code_of(spec)
    if code is None:
        return
    name = getattr(code, "__module__", None) or type(code).__module__
    file = str(getattr(sys.modules.get(name), "__file__", "") or "")
    if name == Opened.__module__ and supplies.apart is not None:
        name, file = supplies.apart
    heavy = sorted(set(HEAVY) & set(imported_by(name, file, supplies)))
    if heavy:
        raise BreachError(f"importing '{name}' imports {', '.join(heavy)}; import them inside `build`")
