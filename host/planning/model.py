"""What a request draws with: the base model, its VAE, its precision and its schedulers."""

from __future__ import annotations

from pathlib import Path

from ..catalog.probe import PICKLES
from ..contracts.models import Family, Precision, WeightFile
from ..contracts.protocols import HostView
from ..contracts.request import InvocationRequest
from ..contracts.specs import VaeSpec
from .draft import REFUSED, Draft
from .fillers import SEES_MASKS

__all__ = ["check_base", "find_base", "pick_precision", "pick_schedulers", "pick_vae"]

LATENT_CHANNELS = 4
PRECISIONS = {
    "float32": Precision.FLOAT32,
    "full": Precision.FLOAT32,
    "float16": Precision.FLOAT16,
    "half": Precision.FLOAT16,
    "bfloat16": Precision.BFLOAT16,
}
# What the original stepped window by window; any other scheduler it replaced by DDIM.
STEPPED_BY_WINDOW = ("ddim", "eds")


def find_base(name: str, request: InvocationRequest, host: HostView) -> WeightFile:
    """Find the base model; a stored `model` is a file by now. Raises what `Library.resolve` does."""
    typed = request.model_type in ("checkpoint", "diffusers")
    return host.resolve_model(
        name, kinds=(str(request.model_type),) if typed else ("diffusers", "checkpoint")
    )


def check_base(draft: Draft) -> None:
    """Tell what is wrong with the base model, if it cannot draw."""
    weights = draft.weights
    called = f"'{weights.name or weights.path}'"
    if weights.family is None and Path(weights.path).suffix in PICKLES:
        # a pickle: nobody opens it here, only the loader, in the worker and without unpickling objects
        draft.notes.append(f"{called} is a pickle, whose architecture shows when it is loaded")
    elif weights.family is None:
        draft.fault("model", f"{called} is of no architecture that is known here; known: sd1, sd2, sdxl")
    elif weights.family is Family.SDXL_REFINER:
        draft.fault(
            "model", f"{called} is an SDXL refiner, which only finishes pictures; name an SDXL base model"
        )
    elif weights.in_channels not in (LATENT_CHANNELS, SEES_MASKS):
        draft.fault("model", f"{called} takes {weights.in_channels} input channels; a base model takes 4")


def pick_schedulers(draft: Draft, windows: int) -> tuple[str | None, str | None]:
    """Give the schedulers for one window and for several; None is the model's own."""
    scheduler = draft.offered("schedulers", "scheduler", draft.request.scheduler)
    several = draft.offered("schedulers", "multi_scheduler", draft.request.multi_scheduler)
    if windows == 1 or several is not None:
        return scheduler, several
    if scheduler not in STEPPED_BY_WINDOW:
        kept = f"'{scheduler}'" if scheduler else "the model's own"
        draft.notes.append(
            f"{windows} windows, and the scheduler stays {kept}: it steps once over the blended canvas, "
            "so it needs no change to 'ddim'; set multi_scheduler for another one"
        )
    return scheduler, scheduler


def pick_vae(draft: Draft) -> tuple[WeightFile | None, str | None]:
    """Give the file and the name of the VAE that was asked for, if one was."""
    word = draft.request.vae
    if word is None:
        return None, None
    try:
        found = draft.host.resolve_vae(word)
    except REFUSED as error:
        draft.fault("vae", str(error))
        return None, None
    spec = _vae_spec(draft.host, word)
    if spec is None:
        return found, word
    family = draft.weights.family
    if family is not None and family not in spec.families:
        draft.fault(
            "vae", f"'{word}' is for {', '.join(spec.families)}, and the model is {family}; leave it out"
        )
    return found, spec.name


def _vae_spec(host: HostView, word: str) -> VaeSpec | None:
    """Find the offer behind a VAE's name; None for a file name."""
    return next(
        (
            spec
            for spec in host.offers("vaes").values()
            if isinstance(spec, VaeSpec) and word in (spec.name, *spec.aliases)
        ),
        None,
    )


def pick_precision(draft: Draft) -> Precision | None:
    """Give the precision that was asked for or set; None is the best that the device has."""
    word = draft.request.precision or draft.host.settings.precision
    return PRECISIONS[word] if word else None
