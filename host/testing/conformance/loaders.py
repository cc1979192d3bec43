"""What a loader promises: networks in eval mode, of the precision and on the device asked for, the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...contracts.models import Family, ModelSpec, Precision, Role, WeightFile, WeightKind
from ...contracts.protocols import LoadedModel, Loader
from ...contracts.specs import LoaderSpec
from .every_kind import built_twice, raises_ours
from .given import Given, weights_at
from .models import draws
from .report import BreachError, Checks
from .samples import LOADED, sample_of
from .supplies import Supplies

__all__ = ["accepted_kinds", "check_accepts", "check_loader"]

ROLES = {WeightKind.CONTROLNET: Role.CONTROLNET, WeightKind.SAFETY: Role.SAFETY}
FAMILIES = (Family.SD1, Family.SDXL)


def check_loader(spec: LoaderSpec, checks: Checks, given: Given, supplies: Supplies) -> None:
    """Check what it takes; then load a tiny file of each kind that it does, or those that were given."""
    loader = built_twice(checks, spec.build)
    if (
        loader is None
        or checks.run("it takes files by what they say", partial(check_accepts, loader)) is None
    ):
        return
    files = [weights_at(path, WeightKind.CHECKPOINT) for path in given.files.values()]
    taken = [(file.name or Path(file.path).name, file) for file in files if loader.accepts(file)]
    if not taken:
        taken = list(_samples(loader, supplies))
    if not taken:
        checks.skip(("it loads on the CPU",), "needs a file that it takes; give files={NAME: a tiny one}")
    for name, file in taken:
        asked = ModelSpec(role=ROLES.get(file.kind, Role.BASE), weights=file)
        checks.run(f"it loads {name} on the CPU", partial(_check_loads, loader, asked))
        checks.run(f"it loads {name} in bfloat16", partial(_check_precision, loader, asked))
        checks.run(f"errors are ours: {name}", partial(_check_errors, loader, asked, supplies))


def check_accepts(judge: Any) -> bool:
    """Check that `accepts` judges a file by its value, where there is no such file."""
    for kind in WeightKind:
        away = WeightFile(path="/no/such/folder/file.safetensors", kind=kind, name="file")
        answer = judge.accepts(away)
        if not isinstance(answer, bool):
            raise BreachError(f"accepts(...) gives {answer!r} for a file of kind {kind}; give True or False")
    return True


def accepted_kinds(judge: Any, kinds: Any, supplies: Supplies) -> Iterator[WeightKind]:
    """Say which kinds of tiny files it takes."""
    for kind in kinds:
        away = WeightFile(path="/no/such/folder/file.safetensors", kind=kind, family=Family.SD1, name="file")
        if kind is WeightKind.UNET:
            away = replace(away, parts_from=away)
        if judge.accepts(away) or (kind is WeightKind.DIFFUSERS and judge.accepts(sample_of(kind, supplies))):
            yield kind


def _samples(loader: Loader, supplies: Supplies) -> Iterator[tuple[str, WeightFile]]:
    for kind in accepted_kinds(loader, LOADED, supplies):
        for family in FAMILIES if kind in (WeightKind.DIFFUSERS, WeightKind.CHECKPOINT) else FAMILIES[:1]:
            file = sample_of(kind, supplies, family)
            if loader.accepts(file):
                yield f"a {kind} of {family}", file


def _networks(model: LoadedModel) -> list[Any]:
    return [part for part in (model.unet, model.vae, *model.text_encoders) if part is not None]


def _check_loads(loader: Loader, asked: ModelSpec) -> None:
    import torch

    first, second = (loader.load(asked, Precision.FLOAT32, "cpu") for _ in range(2))
    for one, other in zip(_networks(first), _networks(second), strict=True):
        if one is other:
            raise BreachError(
                "two loads share a network; load anew each time, since jobs change what they draw with"
            )
        if one.training:
            raise BreachError(f"{type(one).__name__} is in training mode; call eval()")
        weights, again = one.state_dict(), other.state_dict()
        for name, value in weights.items():
            if not torch.equal(value, again[name]):
                raise BreachError(f"two loads differ in {name}; what a file does not hold must not be random")
            if value.is_meta or value.device.type != "cpu":
                raise BreachError(
                    f"{name} is on {value.device}; put all weights onto the device that is asked for"
                )
    if first.spec != asked:
        raise BreachError("the model's `spec` is not the one that it was loaded by; give it as it is")
    if asked.role is Role.BASE:
        if len(first.text_encoders) != len(first.tokenizers) or not first.text_encoders:
            raise BreachError(
                "text encoders and tokenizers run in parallel; give one of each for every text encoder"
            )
        draws(first)


def _check_precision(loader: Loader, asked: ModelSpec) -> None:
    import torch

    model = loader.load(asked, Precision.BFLOAT16, "cpu")
    found = next(model.unet.parameters()).dtype
    if asked.role is not Role.SAFETY and found is not torch.bfloat16:
        raise BreachError(f"asked for bfloat16, the UNet is {found}")


def _check_errors(loader: Loader, asked: ModelSpec, supplies: Supplies) -> None:
    kept = Path(asked.weights.path)
    torn = supplies.root / "torn" / kept.name
    if kept.is_dir():
        torn.mkdir(parents=True, exist_ok=True)  # an empty folder
    else:
        torn.parent.mkdir(parents=True, exist_ok=True)
        torn.write_bytes(kept.read_bytes()[: kept.stat().st_size // 2])
    spec = replace(asked, weights=replace(asked.weights, path=str(torn)))
    raises_ours(partial(loader.load, spec, Precision.FLOAT32, "cpu"), "half of a file, or an empty folder")
