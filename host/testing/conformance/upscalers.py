"""What an upscaler promises: both sides `amount` times as long, in the picture's own mode, in pieces without gaps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ...contracts.models import WeightKind
from ...contracts.protocols import TilingUpscaler, Upscaler
from ...contracts.specs import UpscalerSpec
from .every_kind import BUILT_TWICE, built_twice, raises_ours
from .given import Given, broken_file
from .report import BreachError, Checks, SkippedError
from .supplies import Supplies, picture

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["check_upscaler"]

AMOUNTS = (2, 3, 4)
MODES = ("RGB", "RGBA", "L")
SIZES = ((1, 1), (7, 3), (16, 16), (33, 17))  # (width, height)
USED = (
    BUILT_TWICE,
    "it enlarges tiny and odd sizes on the CPU",
    *(f"it keeps the mode {mode}" for mode in MODES),
    "the same picture gives the same picture",
    "its pieces make up the picture",
)


def check_upscaler(spec: UpscalerSpec, checks: Checks, given: Given, supplies: Supplies) -> None:
    """Check what it says of itself; then, with its files, what it draws."""
    checks.run("it says how it is made", partial(_check_ways, spec))
    missing = checks.run("it says what it lacks here", partial(_missing, spec))
    opens = spec.open is not None or spec.assemble is not None
    if missing:
        checks.skip((*USED, "errors are ours") if opens else USED, missing)
        return
    try:
        build = _builder(spec, given)
    except SkippedError as error:
        checks.skip(USED, str(error))
    else:
        upscaler = built_twice(checks, build)
        if upscaler is not None:
            _check_drawing(upscaler, checks)
    if opens:
        checks.run("errors are ours", partial(_check_errors, spec, supplies))


def _check_drawing(upscaler: Upscaler, checks: Checks) -> None:
    checks.run(USED[1], partial(_check_sizes, upscaler))
    for mode in MODES:
        checks.run(f"it keeps the mode {mode}", partial(_check_mode, upscaler, mode))
    checks.run(USED[-2], partial(_check_same, upscaler))
    if isinstance(upscaler, TilingUpscaler):
        checks.run(USED[-1], partial(_check_pieces, upscaler))


def _check_ways(spec: UpscalerSpec) -> None:
    ways = [name for name in ("build", "open", "assemble") if getattr(spec, name) is not None]
    if len(ways) != 1:
        raise BreachError(
            f"it has {' and '.join(ways) or 'neither build, open nor assemble'}; give one of the three"
        )
    if spec.assemble is not None and not spec.beside:
        raise BreachError("it has `assemble` and no further files `beside`; give `open`, or name them")
    if spec.files and not spec.source.startswith(("https://", "http://")):
        raise BreachError(
            f"`source` is {spec.source!r}; give the URL of {spec.files[0]}, or users cannot find it"
        )


def _missing(spec: UpscalerSpec) -> str:
    missing = spec.missing()
    if missing is not None and not missing.strip():
        raise BreachError(
            "`missing` gives an empty text; say what is missing and what would do, or give None"
        )
    return missing or ""


def _builder(spec: UpscalerSpec, given: Given) -> Callable[[], Upscaler]:
    if spec.build is not None:
        return partial(spec.build, "cpu")
    weights = given.first(spec, spec.files, WeightKind.UPSCALER)
    if spec.assemble is not None:
        beside = given.every(spec, tuple(spec.beside), WeightKind.UPSCALER)
        return partial(spec.assemble, weights, beside, "cpu")
    if spec.open is None:
        raise SkippedError("it says no way to be made")
    return partial(spec.open, weights, "cpu")


def _enlarged(upscaler: Upscaler, image: Image, amount: int) -> Image:
    before = image.tobytes()
    large = upscaler.upscale(image, amount)
    wanted = image.width * amount, image.height * amount
    if large.size != wanted:
        raise BreachError(
            f"of {image.width} x {image.height} px it makes {large.width} x {large.height} at amount {amount}; it "
            f"must be {wanted[0]} x {wanted[1]}: resize what the network gives"
        )
    if large.mode != image.mode:
        raise BreachError(
            f"a picture in {image.mode} comes back in {large.mode}; convert it, and enlarge transparency beside it"
        )
    if image.tobytes() != before:
        raise BreachError("the picture that it was given has changed; copy it before you draw into it")
    return large


def _check_sizes(upscaler: Upscaler) -> None:
    for size in SIZES:
        for amount in AMOUNTS:
            _enlarged(upscaler, picture(size), amount)


def _check_mode(upscaler: Upscaler, mode: str) -> None:
    large = _enlarged(upscaler, picture((24, 16), mode), 2)
    if mode != "RGBA":
        return
    opaque = picture((24, 16)).convert("RGBA")
    if _enlarged(upscaler, opaque, 2).getchannel("A").getextrema()[0] != 255:  # noqa: PLR2004 - a byte's most
        raise BreachError(
            "an opaque picture is transparent in places once it is enlarged; keep 255 where all is 255"
        )
    if large.getchannel("A").getextrema() == (255, 255):
        raise BreachError("transparency is lost; enlarge the channel A beside the colours")


def _check_same(upscaler: Upscaler) -> None:
    first, again = (_enlarged(upscaler, picture((24, 16)), 4) for _ in range(2))
    if first.tobytes() != again.tobytes():
        raise BreachError(
            "one picture was enlarged to two different ones; draw nothing at random, or from a fixed seed"
        )


def _check_pieces(upscaler: TilingUpscaler) -> None:
    from PIL import Image as Pictures

    image, amount = picture((40, 24)), 4
    whole = Pictures.new(image.mode, (image.width * amount, image.height * amount))
    laid = Pictures.new("1", whole.size)
    for piece, at in upscaler.pieces(image, amount):
        whole.paste(piece, at)
        laid.paste(1, (*at, at[0] + piece.width, at[1] + piece.height))
    if laid.getextrema()[0] == 0:
        raise BreachError("`pieces` leaves gaps; together they must cover the enlarged picture")
    if whole.tobytes() != upscaler.upscale(image, amount).tobytes():
        raise BreachError("`pieces` makes up another picture than `upscale` gives; make the one of the other")


def _check_errors(spec: UpscalerSpec, supplies: Supplies) -> None:
    name = spec.files[0] if spec.files else "broken.pth"
    broken = broken_file(supplies.root, WeightKind.UPSCALER, name)
    if spec.assemble is not None:
        beside = tuple(broken_file(supplies.root, WeightKind.UPSCALER, name) for name in spec.beside)
        raises_ours(partial(spec.assemble, broken, beside, "cpu"), "files that are no weights")
    elif spec.open is not None:
        raises_ours(partial(spec.open, broken, "cpu"), "a file that is no weights")
