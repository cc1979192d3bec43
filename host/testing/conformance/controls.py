"""What ControlNets and preprocessors promise: weights that users can find, and control images of the picture's size."""

from __future__ import annotations

from functools import partial
from typing import Any

from ...contracts.models import Family, ModelSpec, Role, WeightKind
from ...contracts.protocols import Preprocessor
from ...contracts.specs import ControlNetSpec, PreprocessorSpec
from .every_kind import BUILT_TWICE, built_twice, raises_ours
from .given import Given, broken_file
from .report import BreachError, Checks, SkippedError
from .supplies import Supplies, picture

__all__ = ["check_controlnet", "check_preprocessor"]

SIZES = ((64, 48), (100, 72), (33, 17))  # (width, height)
USED = (
    BUILT_TWICE,
    "it keeps the size and gives RGB, on the CPU",
    "the same picture gives the same picture",
)


def check_controlnet(spec: ControlNetSpec, checks: Checks, given: Given, supplies: Supplies) -> None:
    """Check its words, and that its weights change what a UNet is told."""
    checks.run("its weights have names and sources", partial(_check_weights, spec))
    checks.run("its preprocessor has a name", partial(_check_preprocessor_name, spec))
    for family in spec.weights:
        checks.run(f"it guides {family} on the CPU", partial(_check_guides, spec, family, given, supplies))


def _check_weights(spec: ControlNetSpec) -> None:
    if not spec.weights:
        raise BreachError("`weights` is empty; name its files by family")
    for family, names in spec.weights.items():
        if not isinstance(family, Family):
            raise BreachError(f"`weights` has the key {family!r}; known: {', '.join(Family)}")
        if (
            not isinstance(names, tuple)
            or not names
            or not all(isinstance(name, str) and name for name in names)
        ):
            raise BreachError(f"for {family} `weights` has {names!r}; write a tuple of file or folder names")
        if not str(spec.sources.get(family, "")).startswith(("https://", "http://")):
            raise BreachError(f"`sources` has no URL for {family}; say where {names[0]} is published")


def _check_preprocessor_name(spec: ControlNetSpec) -> None:
    word = spec.preprocessor
    if word is not None and (not isinstance(word, str) or not word.strip()):
        raise BreachError(
            f"`preprocessor` is {word!r}; name an offered one, or None for pictures as they are"
        )


def _check_guides(spec: ControlNetSpec, family: Family, given: Given, supplies: Supplies) -> None:
    import torch

    weights = given.first(spec, spec.weights[family], WeightKind.CONTROLNET)
    network = supplies.load(ModelSpec(role=Role.CONTROLNET, weights=weights)).unet
    width = network.config.cross_attention_dim
    added: dict[str, Any] = {}
    if network.config.addition_embed_type == "text_time":
        pooled = (
            network.config.projection_class_embeddings_input_dim - 6 * network.config.addition_time_embed_dim
        )
        added = {"added_cond_kwargs": {"text_embeds": torch.zeros(1, pooled), "time_ids": torch.zeros(1, 6)}}
    with torch.inference_mode():
        down, middle = network(
            torch.zeros(1, 4, 8, 8),
            torch.tensor([500]),
            encoder_hidden_states=torch.zeros(1, 77, width),
            controlnet_cond=torch.ones(1, 3, 64, 64),
            return_dict=False,
            **added,
        )
    if not all(bool(torch.isfinite(part).all()) for part in (*down, middle)):
        raise BreachError(
            "what it adds to the UNet's blocks is not finite; are these weights of float32 or float16?"
        )


def check_preprocessor(spec: PreprocessorSpec, checks: Checks, given: Given, supplies: Supplies) -> None:
    """Check its files' sources; then, with them, what it makes of pictures."""
    checks.run("its files have sources", partial(_check_sources, spec))
    try:
        files = given.every(spec, tuple(spec.files), WeightKind.PREPROCESSOR)
    except SkippedError as error:
        checks.skip(USED, str(error))
    else:
        made = built_twice(checks, partial(spec.open, files, "cpu"))
        if made is not None:
            checks.run(USED[1], partial(_check_sizes, made))
            checks.run(USED[2], partial(_check_same, made))
    if spec.files:
        broken = tuple(broken_file(supplies.root, WeightKind.PREPROCESSOR, name) for name in spec.files)
        work = partial(_processed_by, spec, broken)
        checks.run("errors are ours", partial(raises_ours, work, "files that are no weights"))


def _check_sources(spec: PreprocessorSpec) -> None:
    for name, url in spec.files.items():
        if not str(url).startswith(("https://", "http://")):
            raise BreachError(
                f"the file {name} has the source {url!r}; give its URL, or users cannot find it"
            )


def _processed_by(spec: PreprocessorSpec, files: Any) -> None:
    spec.open(files, "cpu").processed(picture((64, 48)))


def _check_sizes(made: Preprocessor) -> None:
    for size in SIZES:
        image = picture(size)
        before = image.tobytes()
        control = made.processed(image)
        if control.size != size or control.mode != "RGB":
            raise BreachError(
                f"of an RGB picture of {size[0]} x {size[1]} px it makes {control.mode} of "
                f"{control.width} x {control.height}; give RGB of the same size"
            )
        if image.tobytes() != before:
            raise BreachError("the picture that it was given has changed; copy it before you draw into it")


def _check_same(made: Preprocessor) -> None:
    first, again = (made.processed(picture((64, 48))) for _ in range(2))
    if first.tobytes() != again.tobytes():
        raise BreachError("one picture gave two control images; draw nothing at random, or from a fixed seed")
