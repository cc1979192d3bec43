"""The gate before an engine serves: what it computes is held against torch, on inputs and on a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..contracts.engines import ParityReport, Profile
from ..contracts.plan import Chunking
from ..contracts.protocols import LoadedModel, Scheduler
from ..errors import EngineOpenError
from .bound import Bound, Hearing, swapped
from .components import home_of
from .conditioning import conditions
from .denoise import denoise
from .graphs import Graph
from .latents import decode, lay_windows, noise
from .parity import BOUNDS, compare, failed
from .schedule import lay_out

__all__ = ["DRAWN_DB", "check_engine", "drawn_psnr_db"]

SEED = 20261122
STEPS = 10
GUIDANCE = 7.0
# What the picture of an engine must have in common with torch's, at the least: at 30 dB two pictures
# are hard to tell apart. A wrong weight or layout leaves 5 to 15.
DRAWN_DB = 30.0
PROMPT = "a red circle on a white background"


def check_engine(engine: Bound, graph: Graph) -> ParityReport:
    """Compare an engine with torch on inputs drawn from a seed, at the profile's own sizes and its ends.

    An engine that fails does not pass.
    """
    expected: list[torch.Tensor] = []
    got: list[torch.Tensor] = []
    module = graph.module()
    for axes in _sizes(engine.profile):
        inputs = graph.sample(axes, SEED)
        with torch.inference_mode():
            expected += module(*(inputs[port.name] for port in graph.inputs))
            try:
                got += [tensor.clone() for tensor in engine(inputs)]
            except EngineOpenError as error:
                return failed(BOUNDS[graph.precision], str(error))
    return compare(expected, got, BOUNDS[graph.precision])


def _sizes(profile: Profile) -> list[dict[str, int]]:
    """Give what the engine is tuned for, and the smallest sizes and batch that it takes."""
    tuned = {name: span.opt for name, span in profile.items()}
    least = {name: span.min for name, span in profile.items()}
    return [tuned, least] if least != tuned else [tuned]


def drawn_psnr_db(model: LoadedModel, engines: Sequence[Bound], scheduler: Scheduler, size_px: int) -> float:
    """Draw one picture in ten steps by torch and by engines; give how close they are, in decibels.

    100 stands for equal pictures. The peak is the range of pixel values, 2. Raises EngineOpenError for an engine
    that fails or does not take what is drawn.
    """
    why: list[str] = []
    hearing = Hearing(used=lambda _: None, torch_did=why.append, failed=lambda _: None)
    seen = [_drawn(model, scheduler, size_px)]
    with swapped(model, engines, hearing):
        seen.append(_drawn(model, scheduler, size_px))
    if why:  # torch's picture would be held against itself
        raise EngineOpenError(why[0])
    error = float(torch.mean((seen[0] - seen[1]) ** 2))
    return 100.0 if not error else 10 * math.log10(4 / error)


class _Silent:
    """A report of the denoise loop that nobody hears."""

    def predicted(self, call: int, rows: int) -> None:
        """Hear nothing."""

    def stepped(self, call: int, latents: torch.Tensor) -> None:
        """Hear nothing."""


@torch.inference_mode()
def _drawn(model: LoadedModel, scheduler: Scheduler, size_px: int) -> torch.Tensor:
    generator = torch.Generator("cpu").manual_seed(SEED)
    schedule = lay_out(scheduler, STEPS, generator)
    size = (size_px, size_px)
    latents = noise(1, model.vae.config.latent_channels, size, generator) * scheduler.init_noise_sigma
    told = conditions(model, ("", PROMPT), GUIDANCE, size, lambda _key, make: make())
    window = lay_windows(size, Chunking(size_px=size_px, stride_px=0, blur_px=0))
    clean = denoise(latents.to(home_of(model.unet)), model.unet, schedule, told, window, _Silent())
    return decode(model.vae, clean).float().clamp(-1, 1)
