"""What offers of VAEs and of whole models promise: names, families and defaults that hold, and weights that draw."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from ...catalog.probe import probe
from ...contracts.models import Family, ModelSpec, Role, WeightFile, WeightKind
from ...contracts.protocols import LoadedModel
from ...contracts.request import InvocationRequest
from ...contracts.specs import ModelOffer, VaeSpec
from ...errors import ConfigurationError, StrettoError
from .given import Given
from .report import BreachError, Checks, SkippedError
from .supplies import Supplies

__all__ = ["check_model", "check_vae", "draws"]

CELL_PX = 8
LARGEST_BYTES = 2**30  # of weights that a check loads


def check_vae(spec: VaeSpec, checks: Checks, given: Given, supplies: Supplies) -> None:
    """Check its words; then, with its file, that it takes pictures to latents and back."""
    checks.run("its files and families are named", partial(_check_vae_words, spec))
    for family in spec.families:
        checks.run(
            f"it decodes for {family} on the CPU", partial(_check_decodes, spec, family, given, supplies)
        )


def _check_vae_words(spec: VaeSpec) -> None:
    if not spec.files or not isinstance(spec.files, tuple):
        raise BreachError(f"`files` are {spec.files!r}; name the files that it is known by, in a tuple")
    if not spec.families or not all(isinstance(family, Family) for family in spec.families):
        raise BreachError(f"`families` are {spec.families!r}; known: {', '.join(Family)}")
    if not spec.source.startswith(("https://", "http://")):
        raise BreachError(
            f"`source` is {spec.source!r}; give the URL of {spec.files[0]}, or users cannot find it"
        )


def _check_decodes(spec: VaeSpec, family: Family, given: Given, supplies: Supplies) -> None:
    import torch

    from ...engine.components import shapes
    from ...engine.images import to_pixels
    from ...engine.latents import decode, encode
    from .supplies import picture

    vae = given.first(spec, spec.files, WeightKind.VAE)
    weights = supplies.host.resolve_model(str(supplies.tiny(family)))
    model = supplies.load(ModelSpec(role=Role.BASE, weights=weights, vae=vae))
    channels = shapes(model).latent_channels
    if channels != model.unet.config.in_channels:
        raise BreachError(
            f"its latents have {channels} channels, and models of {family} take 4; leave {family} out"
        )
    latents = encode(model.vae, to_pixels([picture((64, 64))]), torch.Generator().manual_seed(0))
    pixels = decode(model.vae, latents)
    if pixels.shape != (1, 3, 64, 64) or not bool(torch.isfinite(pixels).all()):
        raise BreachError(f"a picture of 64 x 64 px comes back as {tuple(pixels.shape)}, or is not finite")


def check_model(offer: ModelOffer, checks: Checks, supplies: Supplies) -> None:
    """Check its words and defaults, then load it and predict noise once."""
    file = checks.run("its folder holds the family that it says", partial(_check_folder, offer))
    checks.run("its defaults are parameters", partial(_check_defaults, offer))
    checks.run("its ControlNets are there", partial(_check_controlnets, offer))
    if file is not None:
        checks.run("it draws on the CPU", partial(_check_model_draws, offer, file, supplies))


def _check_folder(offer: ModelOffer) -> WeightFile:
    if not Path(offer.path).is_dir():
        raise BreachError(
            f"`path` {offer.path} is no folder; ship the weights, or offer nothing without them"
        )
    if offer.size_px < CELL_PX or offer.size_px % CELL_PX:
        raise BreachError(f"`size_px` is {offer.size_px}; a native side is a multiple of {CELL_PX}")
    file = probe(Path(offer.path))
    if file.kind is WeightKind.UNET:
        if offer.parts_from is None:
            raise BreachError(
                f"{offer.path} has a UNet alone; name in `parts_from` the model with the other parts"
            )
        return replace(file, family=offer.family)
    if file.family is not offer.family:
        raise BreachError(f"`family` is {offer.family}, and {offer.path} holds {file.family}")
    return file


def _check_defaults(offer: ModelOffer) -> None:
    from ...planning.defaults import with_offer

    try:
        with_offer(InvocationRequest(prompt="a red circle"), offer)
    except ConfigurationError as error:
        raise BreachError(str(error)) from error


def _check_controlnets(offer: ModelOffer) -> None:
    for name, path in offer.controlnets.items():
        if not Path(path).exists():
            raise BreachError(f"the ControlNet '{name}' {path} is not there; ship it, or leave it out")
        if probe(Path(path)).kind is not WeightKind.CONTROLNET:
            raise BreachError(f"what it brings as ControlNet '{name}', {path}, is {probe(Path(path)).kind}")


def _check_model_draws(offer: ModelOffer, file: WeightFile, supplies: Supplies) -> None:
    if file.size_bytes > LARGEST_BYTES:
        raise SkippedError(
            f"has {file.size_bytes / 2**30:.1f} GiB of weights, which are not loaded by a check"
        )
    if offer.parts_from is not None:
        try:
            parts = supplies.host.resolve_model(offer.parts_from)
        except StrettoError as error:
            raise SkippedError(
                f"needs the model '{offer.parts_from}' for its other parts: {error}"
            ) from error
        file = replace(file, parts_from=parts)
    draws(supplies.load(ModelSpec(role=Role.BASE, weights=file)))


def draws(model: LoadedModel) -> None:
    """Predict noise once over 8 x 8 latent cells; raises BreachError where it is not finite."""
    import torch

    config = model.unet.config
    added = {}
    if config.get("addition_embed_type") == "text_time":
        numbers = 5 if model.options.get("requires_aesthetics_score") else 6
        pooled = config.projection_class_embeddings_input_dim - numbers * config.addition_time_embed_dim
        added = {
            "added_cond_kwargs": {
                "text_embeds": torch.zeros(1, pooled), "time_ids": torch.zeros(1, numbers),
            }
        }  # fmt: skip
    weight = next(model.unet.parameters())
    with torch.inference_mode():
        noise = model.unet(
            torch.zeros(1, config.in_channels, 8, 8, dtype=weight.dtype),
            torch.tensor([500]),
            encoder_hidden_states=torch.zeros(1, 77, config.cross_attention_dim, dtype=weight.dtype),
            return_dict=False,
            **added,
        )[0]
    if noise.shape != (1, 4, 8, 8) or not bool(torch.isfinite(noise).all()):
        raise BreachError(f"the noise that it predicts is {tuple(noise.shape)}, or is not finite")
