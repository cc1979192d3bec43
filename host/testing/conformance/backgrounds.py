"""What a background remover promises: the picture in its own size and colours, with what is behind its subject clear."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...contracts.models import WeightKind
from ...contracts.protocols import BackgroundRemover
from ...contracts.specs import BackgroundRemoverSpec
from .every_kind import BUILT_TWICE, built_twice, raises_ours
from .given import Given, broken_file
from .report import BreachError, Checks, SkippedError
from .supplies import Supplies, picture

__all__ = ["check_background_remover"]

SIZES = ((64, 48), (33, 17), (8, 8))  # (width, height)
USED = (
    BUILT_TWICE,
    "it keeps the size, on the CPU",
    "it keeps the colours",
    "what was clear stays clear",
    "the same picture gives the same picture",
)


def check_background_remover(
    spec: BackgroundRemoverSpec, checks: Checks, given: Given, supplies: Supplies
) -> None:
    """Check what it says of itself; then, with its file, what it cuts out."""
    checks.run("it says how it is made", partial(_check_ways, spec))
    try:
        build = _builder(spec, given)
    except SkippedError as error:
        checks.skip(USED, str(error))
    else:
        remover = built_twice(checks, build)
        if remover is not None:
            checks.run(USED[1], partial(_check_sizes, remover))
            checks.run(USED[2], partial(_check_colours, remover))
            checks.run(USED[3], partial(_check_clear, remover))
            checks.run(USED[4], partial(_check_same, remover))
    if spec.open is not None:
        name = spec.files[0] if spec.files else "broken.onnx"
        broken = broken_file(supplies.root, WeightKind.BACKGROUND, name)
        checks.run(
            "errors are ours",
            partial(raises_ours, partial(spec.open, broken, "cpu"), "a file that is no network"),
        )


def _check_ways(spec: BackgroundRemoverSpec) -> None:
    if (spec.build is None) == (spec.open is None):
        raise BreachError("give either `build`, or `open` with `files`")
    if spec.open is not None and not spec.files:
        raise BreachError("it has `open` and names no `files`; name those that it opens, or give `build`")
    if spec.files and not spec.source.startswith(("https://", "http://")):
        raise BreachError(
            f"`source` is {spec.source!r}; give the URL of {spec.files[0]}, or users cannot find it"
        )


def _builder(spec: BackgroundRemoverSpec, given: Given) -> Callable[[], BackgroundRemover]:
    if spec.build is not None:
        return partial(spec.build, "cpu")
    if spec.open is None:
        raise SkippedError("it says no way to be made")
    return partial(spec.open, given.first(spec, spec.files, WeightKind.BACKGROUND), "cpu")


def _check_sizes(remover: BackgroundRemover) -> None:
    for size in SIZES:
        image = picture(size)
        before = image.tobytes()
        cut = remover.remove(image)
        if cut.size != size or cut.mode != "RGBA":
            raise BreachError(
                f"of an RGB picture of {size[0]} x {size[1]} px it makes {cut.mode} of {cut.width} x {cut.height}; "
                "give RGBA of the same size"
            )
        if image.tobytes() != before:
            raise BreachError("the picture that it was given has changed; copy it before you draw into it")


def _check_colours(remover: BackgroundRemover) -> None:
    image = picture((64, 48))
    if remover.remove(image).convert("RGB").tobytes() != image.tobytes():
        raise BreachError(
            "colours have changed; put the mask into the channel A and leave the others as they are"
        )


def _check_clear(remover: BackgroundRemover) -> None:
    import numpy as np

    image = picture((64, 48), "RGBA")
    cut = remover.remove(image)
    if cut.mode != "RGBA" or (np.asarray(cut)[..., 3] > np.asarray(image)[..., 3]).any():
        raise BreachError("what was transparent before is less so; take the lesser of both masks")


def _check_same(remover: BackgroundRemover) -> None:
    first, again = (remover.remove(picture((64, 48))) for _ in range(2))
    if first.tobytes() != again.tobytes():
        raise BreachError("one picture was cut out in two ways; draw nothing at random, or from a fixed seed")
