"""What a compiler promises: engines that agree with eager torch, at every size of their profile."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...contracts.engines import CompiledNetwork, Compiler, Component, Profile, Targeted
from ...contracts.models import Precision
from ...contracts.specs import CompilerSpec
from ..toy import PROFILE, STATIC, ToyNetwork
from .every_kind import BUILT_TWICE, built_twice, raises_ours
from .report import BreachError, Checks
from .supplies import Supplies

__all__ = ["check_compiler"]

DEVICE = "cpu"
SIZES = ((2, 8, 8), (1, 4, 16), (4, 9, 13))  # (batch, height, width) in latent cells, odd sides too
BUILT = (
    "it builds an engine",
    "it agrees with eager torch",
    "it leaves its inputs as they were",
    "close is idempotent",
)


def check_compiler(spec: CompilerSpec, checks: Checks, supplies: Supplies) -> None:
    """Check what it says of itself; then build a network of a thousand weights on the CPU, and compare."""
    checks.run("its components and precisions are named", partial(_check_words, spec))
    missing = checks.run("it says what it lacks here", partial(_missing, spec))
    if missing:
        checks.skip((BUILT_TWICE, "it says what its engines depend on", *BUILT), missing)
        return
    compiler = built_twice(checks, spec.build)
    if compiler is None:
        return
    if checks.run("it says what its engines depend on", partial(_check_key, compiler)) is None:
        return
    _check_engines(spec, compiler, checks, supplies)


def _check_engines(spec: CompilerSpec, compiler: Compiler, checks: Checks, supplies: Supplies) -> None:
    unable = compiler.unable(compiler.target(DEVICE), DEVICE)
    if unable is not None:
        checks.skip((*BUILT, "errors are ours"), unable)
        return
    policy = spec.profiled_for(compiler.target(DEVICE)) if spec.profiled_for else spec.profiled
    profile = STATIC if policy == "static" else PROFILE
    bench = _Bench(compiler, ToyNetwork(supplies.root), profile, supplies.folder("engine"))
    if checks.run(BUILT[0], partial(_check_builds, bench)):
        checks.run(BUILT[1], partial(_check_agrees, bench))
        checks.run(BUILT[2], partial(_check_inputs, bench))
        checks.run(BUILT[3], partial(_check_close, bench))
    checks.run("errors are ours", partial(_check_errors, bench, supplies.folder("torn-engine")))


@dataclass(frozen=True, slots=True)
class _Bench:
    compiler: Compiler
    network: ToyNetwork
    profile: Profile
    folder: Path

    def opened(self) -> CompiledNetwork:
        return self.compiler.open(self.folder, self.network, self.profile, DEVICE)


def _check_words(spec: CompilerSpec) -> None:
    for name, kind in (("components", Component), ("precisions", Precision)):
        values = getattr(spec, name)
        if not values or not all(isinstance(value, kind) for value in values):
            raise BreachError(f"`{name}` are {values!r}; known: {', '.join(kind)}")
    if spec.profiled not in ("static", "range"):
        raise BreachError(f"`profiled` is {spec.profiled!r}; known: static, range")
    if spec.profiled_for is not None and not callable(spec.profiled_for):
        raise BreachError(f"`profiled_for` is {spec.profiled_for!r}; give a function of a target, or None")


def _missing(spec: CompilerSpec) -> str:
    missing = spec.missing()
    if missing is not None and not missing.strip():
        raise BreachError(
            "`missing` gives an empty text; say what is missing and what would do, or give None"
        )
    return missing or ""


def _check_key(compiler: Compiler) -> bool:
    version, target = compiler.version(), compiler.target(DEVICE)
    if not any(letter.isdigit() for letter in version):
        raise BreachError(
            f"`version` is {version!r}; give the library and its version, since engines depend on it"
        )
    if not target or target != compiler.target(DEVICE):
        raise BreachError(
            f"`target` for {DEVICE} is {target!r}, and another the next time; it goes into the engine's key"
        )
    flags = compiler.flags()
    if not _are_flags(flags):
        raise BreachError(f"`flags` are {flags!r}; give a tuple of texts")
    if isinstance(compiler, Targeted):
        told = compiler.flags_for(target)
        if not isinstance(told, tuple) or not told or not all(map(_are_flags, told)):
            raise BreachError(
                f"`flags_for` gives {told!r}; give a tuple of tuples of texts, the built engines' first"
            )
    return True


def _are_flags(flags: object) -> bool:
    return isinstance(flags, tuple) and all(isinstance(flag, str) for flag in flags)


def _check_builds(bench: _Bench) -> bool:
    target = bench.compiler.target(DEVICE)
    bench.compiler.build(bench.network, bench.profile, target, bench.folder, lambda _phase, _share: None)
    if not any(bench.folder.iterdir()):
        raise BreachError("`build` wrote nothing into its folder; what is to be opened again must lie there")
    return True


def _check_agrees(bench: _Bench) -> None:
    import torch

    from ...engine.parity import BOUNDS, compare

    sizes = SIZES[:1] if bench.profile is STATIC else SIZES
    with closing(bench.opened()) as opened, torch.inference_mode():
        for batch, height, width in sizes:
            axes = {"batch": batch, "height": height, "width": width, "tokens": 77}
            inputs = bench.network.sample(axes, seed=batch)
            expected = bench.network.module()(*inputs.values())
            report = compare(expected, opened(inputs), BOUNDS[bench.network.precision])
            if not report.passed:
                raise BreachError(
                    f"for {batch} x {height} x {width} cells it is {report.max_error:.1e} of the largest value away "
                    f"from torch, and {report.bound:.0e} is allowed: {report.why}"
                )


def _check_inputs(bench: _Bench) -> None:
    import torch

    inputs = bench.network.sample({"batch": 2, "height": 8, "width": 8, "tokens": 77})
    before = {name: tensor.clone() for name, tensor in inputs.items()}
    with closing(bench.opened()) as opened, torch.inference_mode():
        opened(inputs)
    changed = [name for name, tensor in inputs.items() if not torch.equal(tensor, before[name])]
    if changed:
        raise BreachError(f"a call has written into its inputs {', '.join(changed)}; they are only read")


def _check_close(bench: _Bench) -> None:
    opened = bench.opened()
    opened.close()
    opened.close()


def _check_errors(bench: _Bench, folder: Path) -> None:
    work = partial(bench.compiler.open, folder, bench.network, bench.profile, DEVICE)
    raises_ours(work, "an empty folder in the place of an engine")
