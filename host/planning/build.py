"""Request -> plan: every name resolved, every choice made and recorded. Reads no tensor, runs no network."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ..contracts.models import WeightFile, WeightKind
from ..contracts.plan import Plan, Remover, UpscaleStage
from ..contracts.protocols import HostView
from ..contracts.request import InvocationRequest
from ..errors import InvalidRequestError, NotFoundError
from ..hookspecs import hookimpl
from .acceleration import pick_acceleration
from .adapters import resolve_patches
from .backgrounds import pick_remover
from .canvas import check_extent, lay_canvas
from .control import Drawer, control_source
from .defaults import offer_of, with_offer, with_stored
from .draft import REFUSED, Draft
from .drawing import Drawing, Studio, Words, draw_whole, merged_prompts
from .enlarging import Place, plan_stages
from .fillers import check_filler
from .inpainters import check_adapted
from .model import check_base, find_base, pick_precision, pick_schedulers, pick_vae
from .nodes import cutting, draw_nodes
from .regions import draw_regions
from .repeats import check_repeats
from .safety import resolve_checker
from .seamless import check_seamless

__all__ = ["CorePlanning", "build_plan", "draw_seed"]


class CorePlanning:
    """The host's own `build_plan`, asked after every plugin's."""

    @hookimpl(trylast=True)
    def build_plan(self, request: InvocationRequest, host: HostView) -> Plan:
        """Resolve a request; see the function of that name."""
        return build_plan(request, host)


def draw_seed() -> int:
    """Draw a seed below 2**32, as every tool that reads our pictures can take it."""
    return secrets.randbelow(2**32)


def build_plan(request: InvocationRequest, host: HostView, *, draw: Callable[[], int] = draw_seed) -> Plan:
    """Resolve `request` against what `host` offers; `draw` gives a seed where none was asked for.

    Explicit values win over a stored model's, those over the model's own, those over the contract's.
    Raises NotFoundError where nothing is wrong but that the model is unknown, and InvalidRequestError with
    everything that is wrong.
    """
    request = with_stored(request)
    name, refused = request.model or host.settings.model, None
    try:
        weights = find_base(name, request, host)
    except REFUSED as error:  # one of which nothing is known, to see what else is wrong
        weights, refused = WeightFile(path=name, kind=WeightKind.CHECKPOINT), error
    offer = offer_of(weights, host)
    draft = Draft(request=with_offer(control_source(request), offer), host=host, weights=weights, offer=offer)
    draft.notes += request.notes
    if refused is None:
        check_base(draft)
    else:
        draft.fault("model", str(refused))
    try:
        return replace(_resolved(draft, draw), plugins=request.plugins)
    except InvalidRequestError as error:
        if isinstance(refused, NotFoundError) and len(error.faults) == 1:
            raise refused from error
        raise


def _resolved(draft: Draft, draw: Callable[[], int]) -> Plan:
    request = draft.request
    prompts = merged_prompts(draft)
    canvas = lay_canvas(draft)
    seed = draw() if request.seed is None else request.seed
    studio = Studio(draft, canvas)
    drawing = _drawing(studio, prompts, seed)
    studio.tell(drawing)
    scheduler, multi_scheduler = pick_schedulers(draft, studio.windows)
    vae, vae_name = pick_vae(draft)
    patches = resolve_patches(request, draft.host, draft.weights.family, draft.fault)
    stages = _stages(studio, prompts)
    remover = _remover(draft, drawing)
    _check(studio, drawing, stages)
    acceleration = pick_acceleration(draft)
    checker = resolve_checker(request, draft.host, draft.fault, draft.notes.append)
    if draft.faults:
        raise InvalidRequestError(draft.faults)
    return Plan(
        model=draft.weights,
        size=canvas.size,
        width=canvas.width,
        height=canvas.height,
        seed=seed,
        samples=request.samples,
        prompt=request.prompt or "",
        negative_prompt=request.negative_prompt or "",
        nodes=drawing.nodes,
        region_mode=request.region_mode,
        remainder=drawing.remainder,
        remove_background=drawing.remove_background,
        scheduler=scheduler,
        multi_scheduler=multi_scheduler,
        chunking_size=canvas.stride,
        chunking_blur=canvas.blur,
        vae=vae,
        vae_name=vae_name,
        precision=pick_precision(draft),
        upscale=stages,
        remover=remover,
        checker=checker,
        acceleration=acceleration,
        engine_profile=request.engine_profile,
        intermediates=request.intermediates and checker is None,
        image_callback_steps=request.image_callback_steps,
        inpainter=studio.filler,
        inpainter_difference=studio.difference,
        inpainter_size=studio.filler_px,
        refiner=studio.finish.weights,
        refiner_size=studio.finish.size_px,
        patches=patches,
        lora=request.lora,
        lycoris=request.lycoris,
        inversion=request.inversion,
        clip_skip=request.clip_skip,
        iterations=request.iterations,
        tile=request.tile,
        noise_offset=request.noise_offset,
        notes=tuple(draft.notes),
    )


def _drawing(studio: Studio, prompts: Words, seed: int) -> Drawing:
    request = studio.draft.request
    if not request.nodes:
        return draw_whole(studio, prompts)
    if request.region_mode == "latent":
        return draw_regions(studio, prompts)
    return draw_nodes(studio, prompts, seed)


def _remover(draft: Draft, drawing: Drawing) -> Remover | None:
    if not drawing.cuts_out():
        return None
    return pick_remover(draft.host, draft.request, partial(draft.fault, cutting(draft.request)))


def _check(studio: Studio, drawing: Drawing, stages: tuple[UpscaleStage, ...]) -> None:
    draft, canvas = studio.draft, studio.canvas
    check_seamless(draft, canvas)
    check_extent(draft, canvas, studio.windows)
    check_repeats(draft.request, (draft.weights, studio.filler), draft.fault)
    check_filler(draft, drawing.drawn(), stages)
    check_adapted(draft.request, draft.weights, studio.filler, drawing.drawn(), draft.voice)


def _stages(studio: Studio, prompts: tuple[str, str]) -> tuple[UpscaleStage, ...]:
    draft, canvas, refiner = studio.draft, studio.canvas, studio.finish.weights
    over = None if refiner is None else Drawer(family=refiner.family, offer=None)
    place = Place(
        width=canvas.width,
        height=canvas.height,
        size=canvas.size,
        prompt=prompts[0],
        negative_prompt=prompts[1],
        drawer=over or Drawer(family=draft.weights.family, offer=draft.offer),
    )
    return plan_stages(draft.request, draft.host, place, fault=draft.fault, note=draft.notes.append)
