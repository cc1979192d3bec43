"""Request -> plan: every name resolved, every choice made and recorded. Reads no tensor, runs no network."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..catalog.probe import PICKLES
from ..contracts.models import Family, Precision, WeightFile
from ..contracts.plan import Bounds, Node, Plan, UpscaleStage
from ..contracts.protocols import HostView
from ..contracts.request import InvocationRequest
from ..contracts.specs import ModelOffer, VaeSpec
from ..errors import BadRequestError, Fault, InvalidRequestError, NotFoundError
from ..geometry import round_up, window_count
from ..hookspecs import hookimpl
from .adapters import resolve_patches
from .backgrounds import pick_remover, with_background
from .control import Drawer, asked_controls, control_source, resolve_controls
from .defaults import offer_of, refuse_unsupported, size_px, with_offer, with_stored
from .enlarging import MAX_WINDOWS, Place, plan_stages
from .inpainters import Base, settle
from .masks import Voice
from .refining import Drawn, finisher
from .repeats import check_repeats

__all__ = ["CorePlanning", "build_plan", "draw_seed"]

CELL_PX = 8
# One picture of 16384 x 16384, or 64 of 2048 x 2048; as many bytes of RGB fit any machine we run on.
MAX_PIXELS = 2**28
DEFAULT_STEPS = 40
DEFAULT_GUIDANCE = 7.0
LATENT_CHANNELS = 4
INPAINTING_CHANNELS = 9
PRECISIONS = {
    "float32": Precision.FLOAT32,
    "full": Precision.FLOAT32,
    "float16": Precision.FLOAT16,
    "half": Precision.FLOAT16,
    "bfloat16": Precision.BFLOAT16,
}
# What the original stepped window by window; any other scheduler it replaced by DDIM.
STEPPED_BY_WINDOW = ("ddim", "eds")


class CorePlanning:
    """The host's own `build_plan`, asked after every plugin's."""

    @hookimpl(trylast=True)
    def build_plan(self, request: InvocationRequest, host: HostView) -> Plan:
        """Resolve a request; see the function of that name."""
        return build_plan(request, host)


def draw_seed() -> int:
    """Draw a seed below 2**32, as every tool that reads our pictures can take it."""
    return secrets.randbelow(2**32)


@dataclass(slots=True)
class _Draft:
    """A request being resolved: what is known so far, and what was wrong or worth telling."""

    request: InvocationRequest
    host: HostView
    weights: WeightFile
    offer: ModelOffer | None
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fault(self, name: str, message: str) -> None:
        self.faults.append(Fault(field=name, message=message))


@dataclass(frozen=True, slots=True)
class _Canvas:
    width: int
    height: int
    size: int
    stride: int
    blur: int
    windows: int


def build_plan(request: InvocationRequest, host: HostView, *, draw: Callable[[], int] = draw_seed) -> Plan:
    """Resolve `request` against what `host` offers; `draw` gives a seed where none was asked for.

    Explicit values win over a stored model's, those over the model's own, those over the contract's.
    Raises NotFoundError for an unknown model, InvalidRequestError for one that may not
    be read, UnsupportedError naming every parameter that this
    version cannot do, and InvalidRequestError with everything else that is wrong.
    """
    request = with_stored(request)
    refuse_unsupported(request)
    name = request.model or host.settings.model
    weights = _weights(name, request, host)
    offer = offer_of(weights, host)
    draft = _Draft(
        request=with_offer(control_source(request), offer), host=host, weights=weights, offer=offer
    )
    refuse_unsupported(draft.request)
    return _resolved(draft, draw)


def _resolved(draft: _Draft, draw: Callable[[], int]) -> Plan:
    request = draft.request
    _check_base(draft)
    node_prompts = _prompts(draft)
    canvas = _canvas(draft)
    voice = Voice(fault=draft.fault, note=draft.notes.append)
    # a part that is drawn by itself would need its part of every control image
    cropped = request.crop_inpaint and not asked_controls(request)
    whole = replace(request, crop_inpaint=cropped)
    node = with_background(_node(request, canvas, node_prompts), request, voice)
    base = Base(weights=draft.weights, offer=draft.offer, size_px=canvas.size)
    filling = settle(node, whole, draft.host, base, voice)
    drawer = _drawer(draft, filling.node, filling.weights)
    node = replace(filling.node, controls=resolve_controls(request, draft.host, drawer, voice))
    drawn = Drawn(weights=draft.weights, size_px=canvas.size, stride_px=canvas.stride)
    finish = finisher(request, draft.host, drawn, voice)
    node = finish.of(node)
    canvas = replace(canvas, windows=_windows(node, filling.side_px, canvas))
    scheduler, multi_scheduler = _schedulers(draft, canvas.windows)
    vae, vae_name = _vae(draft)
    patches = resolve_patches(request, draft.host, draft.weights.family, draft.fault)
    stages = _stages(draft, canvas, node_prompts)
    remover = pick_remover(draft.host, draft.fault) if request.remove_background else None
    _check_extent(draft, canvas)
    check_repeats(request, draft.weights, draft.fault)
    if draft.faults:
        raise InvalidRequestError(draft.faults)
    return Plan(
        model=draft.weights,
        size=canvas.size,
        width=canvas.width,
        height=canvas.height,
        seed=draw() if request.seed is None else request.seed,
        samples=request.samples,
        prompt=request.prompt or "",
        negative_prompt=request.negative_prompt or "",
        nodes=(node,),
        scheduler=scheduler,
        multi_scheduler=multi_scheduler,
        chunking_size=canvas.stride,
        chunking_blur=canvas.blur,
        vae=vae,
        vae_name=vae_name,
        precision=_precision(draft),
        upscale=stages,
        remover=remover,
        intermediates=request.intermediates,
        image_callback_steps=request.image_callback_steps,
        inpainter=filling.weights,
        inpainter_difference=filling.difference,
        inpainter_size=filling.size_px,
        refiner=finish.weights,
        refiner_size=finish.size_px,
        patches=patches,
        lora=request.lora,
        lycoris=request.lycoris,
        inversion=request.inversion,
        clip_skip=request.clip_skip,
        iterations=request.iterations,
        notes=tuple(draft.notes),
    )


def _weights(name: str, request: InvocationRequest, host: HostView) -> WeightFile:
    """Find the base model; a stored `model` is a file by now."""
    typed = request.model_type in ("checkpoint", "diffusers")
    kinds = (str(request.model_type),) if typed else ("diffusers", "checkpoint")
    try:
        return host.resolve_model(name, kinds=kinds)
    except BadRequestError as error:
        raise InvalidRequestError([Fault(field="model", message=str(error))]) from error


def _check_base(draft: _Draft) -> None:
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
    elif weights.in_channels == INPAINTING_CHANNELS:
        draft.fault(
            "model", f"{called} is an inpainting model, which fills masked parts; name its base model"
        )
    elif weights.in_channels != LATENT_CHANNELS:
        draft.fault("model", f"{called} takes {weights.in_channels} input channels; a base model takes 4")


def _prompts(draft: _Draft) -> tuple[str, str]:
    """Give what is drawn and what is avoided, the model's own words at the end."""
    request = draft.request
    positive = ", ".join(part for part in (request.prompt, request.model_prompt) if part)
    negative = ", ".join(part for part in (request.negative_prompt, request.model_negative_prompt) if part)
    if not positive.strip() and request.image is None:
        draft.fault("prompt", "is empty and there is no image; say what to draw, or give an image")
    return positive, negative


def _canvas(draft: _Draft) -> _Canvas:
    request, image = draft.request, draft.request.image
    asked = request.size or size_px(draft.weights, draft.offer)
    size = round_up(asked, CELL_PX)
    if size != asked:
        draft.notes.append(f"size {asked} was raised to {size}, a multiple of {CELL_PX}")
    width = request.width or (image.width if image else size)
    height = request.height or (image.height if image else size)
    full = round_up(width, CELL_PX), round_up(height, CELL_PX)
    if full != (width, height):
        draft.notes.append(
            f"drawn at {full[0]} x {full[1]}, multiples of {CELL_PX}, and cropped to {width} x {height}"
        )
    stride = size // 8 if request.chunking_size is None else request.chunking_size
    if 0 < stride < CELL_PX:
        draft.notes.append(f"chunking_size {stride} was raised to {CELL_PX}, the smallest move")
        stride = CELL_PX
    blur = size // 8 if request.chunking_blur is None else request.chunking_blur
    count = window_count(full[1] // CELL_PX, full[0] // CELL_PX, size // CELL_PX, stride // CELL_PX)
    return _Canvas(width=width, height=height, size=size, stride=stride, blur=blur, windows=count)


def _windows(node: Node, side_px: int, canvas: _Canvas) -> int:
    height, width = (side // CELL_PX for side in node.canvas_px)
    return window_count(height, width, side_px // CELL_PX, canvas.stride // CELL_PX)


def _check_extent(draft: _Draft, canvas: _Canvas) -> None:
    request = draft.request
    scale = request.outscale if request.upscale else 1
    pixels = canvas.width * canvas.height * scale**2 * request.samples
    if pixels > MAX_PIXELS:
        draft.fault(
            "width",
            f"{canvas.width} x {canvas.height} px, {request.samples} samples, enlarged {scale} times "
            f"is {pixels} pixels; at most {MAX_PIXELS} are drawn in one invocation",
        )
    if canvas.windows > MAX_WINDOWS:
        draft.fault(
            "chunking_size",
            f"{canvas.stride} px gives {canvas.windows} windows a step; at most {MAX_WINDOWS} are drawn, so raise it",
        )


def _schedulers(draft: _Draft, windows: int) -> tuple[str | None, str | None]:
    scheduler = _offered(draft, "schedulers", "scheduler", draft.request.scheduler)
    several = _offered(draft, "schedulers", "multi_scheduler", draft.request.multi_scheduler)
    if windows == 1 or several is not None:
        return scheduler, several
    if scheduler not in STEPPED_BY_WINDOW:
        kept = f"'{scheduler}'" if scheduler else "the model's own"
        draft.notes.append(
            f"{windows} windows, and the scheduler stays {kept}: it steps once over the blended canvas, "
            "so it needs no change to 'ddim'; set multi_scheduler for another one"
        )
    return scheduler, scheduler


def _offered(draft: _Draft, kind: str, name: str, word: str | None) -> str | None:
    """Give the proper name of an offer; a word that nobody offers is a fault of the parameter `name`."""
    if word is None:
        return None
    try:
        return str(draft.host.offer(kind, word).name)
    except NotFoundError as error:
        draft.fault(name, str(error))
        return None


def _vae(draft: _Draft) -> tuple[WeightFile | None, str | None]:
    """Give the file and the name of the VAE that was asked for, if one was."""
    word = draft.request.vae
    if word is None:
        return None, None
    try:
        found = draft.host.resolve_vae(word)
    except (NotFoundError, BadRequestError) as error:
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


def _stages(draft: _Draft, canvas: _Canvas, prompts: tuple[str, str]) -> tuple[UpscaleStage, ...]:
    place = Place(
        width=canvas.width,
        height=canvas.height,
        size=canvas.size,
        prompt=prompts[0],
        negative_prompt=prompts[1],
    )
    return plan_stages(draft.request, draft.host, place, fault=draft.fault, note=draft.notes.append)


def _drawer(draft: _Draft, node: Node, filler: WeightFile | None) -> Drawer:
    """Say which model draws the node: the base model, with its offer, or the inpainter."""
    if node.paints and filler is not None:
        return Drawer(family=filler.family, offer=None)
    return Drawer(family=draft.weights.family, offer=draft.offer)


def _precision(draft: _Draft) -> Precision | None:
    word = draft.request.precision or draft.host.settings.precision
    return PRECISIONS[word] if word else None


def _node(request: InvocationRequest, canvas: _Canvas, prompts: tuple[str, str]) -> Node:
    return Node(
        bounds=Bounds(left=0, top=0, right=canvas.width, bottom=canvas.height),
        width=canvas.width,
        height=canvas.height,
        prompt=prompts[0],
        negative_prompt=prompts[1],
        num_inference_steps=request.num_inference_steps or DEFAULT_STEPS,
        guidance_scale=DEFAULT_GUIDANCE if request.guidance_scale is None else request.guidance_scale,
        strength=request.strength,
        image=request.image,
        mask=request.mask,
        invert_mask=request.invert_mask,
        scale_to_model_size=request.scale_to_model_size,
        fit=request.fit,
        anchor=request.anchor,
    )
