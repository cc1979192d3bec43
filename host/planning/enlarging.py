"""How a request's pictures are enlarged: which upscaler at which stage, and how each is drawn over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from ..contracts.models import WeightFile, WeightKind
from ..contracts.plan import Follower, Rediffusion, UpscaleStage
from ..contracts.protocols import HostView
from ..contracts.request import InvocationRequest
from ..contracts.specs import UpscalerSpec
from ..errors import NotFoundError
from ..geometry import round_up, window_count
from .control import Drawer, resolve_follower
from .files import fetched_by, file_names, find_file
from .masks import Voice

__all__ = ["MAX_WINDOWS", "Place", "plan_stages"]

Blame = Callable[[str, str], None]
Note = Callable[[str], None]
T = TypeVar("T")
CELL_PX = 8
# A second a window is more than a day a step.
MAX_WINDOWS = 100_000
# The parameters of drawing over that may be lists, one item a stage.
NUMBERS = (
    "upscale_diffusion_steps",
    "upscale_diffusion_guidance_scale",
    "upscale_diffusion_strength",
    "upscale_diffusion_controlnet_scale",
)
LISTS = (
    *NUMBERS, "upscale_diffusion_prompt", "upscale_diffusion_negative_prompt", "upscale_diffusion_controlnet",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is enlarged: the canvas in pixels, the side of a window, its words, and the model that draws over it."""

    width: int
    height: int
    size: int
    prompt: str
    negative_prompt: str
    drawer: Drawer = field(default_factory=lambda: Drawer(family=None, offer=None))


def plan_stages(
    request: InvocationRequest, host: HostView, place: Place, *, fault: Blame, note: Note
) -> tuple[UpscaleStage, ...]:
    """Resolve `upscale*`; `fault` hears of unknown words, missing files and what cannot work here, `note` of what is left out."""
    methods = [
        _method("upscale" if len(request.upscale) == 1 else f"upscale[{i}]", word, host, fault)
        for i, word in enumerate(request.upscale)
    ]
    empty = _blamed_empty(request, fault)
    if empty or request.outscale == 1 or not methods:
        if request.outscale > 1:
            note(f"outscale {request.outscale} enlarges nothing without an upscale method")
        elif request.upscale_diffusion:
            note("upscale_diffusion draws over nothing without outscale and upscale")
        return ()
    if not request.upscale_iterative:
        if len(methods) > 1:
            note(f"upscale has {len(methods)} methods, and only the first is used without upscale_iterative")
        amounts = [int(request.outscale)]
    else:
        amounts = [2] * (request.outscale.bit_length() - 1)
    followers = _followers(request, host, place, Voice(fault=fault, note=note))
    stages = []
    for i, amount in enumerate(amounts):
        method = _item(methods, i)
        diffusion = None
        if request.upscale_diffusion:
            follower = _item(followers, i)
            scaled = follower and replace(
                follower, scale=_item(request.upscale_diffusion_controlnet_scale, i)
            )
            diffusion = _rediffusion(request, place, i, scaled, note)
        stages.append(replace(method, amount=amount, diffusion=diffusion))
    _note_unread(request, len(stages), note)
    _check_windows(stages, place, fault)
    return tuple(stages)


def _blamed_empty(request: InvocationRequest, fault: Blame) -> bool:
    empty = [name for name in NUMBERS if not getattr(request, name)]
    for name in empty:
        fault(name, "an empty list has no number for any stage; leave it out, or give one")
    return bool(empty)


def _item(items: Sequence[T], index: int) -> T:
    """Give the item of a stage; a list that is too short repeats its last one."""
    return items[min(index, len(items) - 1)]


# -- methods -----------------------------------------------------------------------------------


def _method(field: str, word: str, host: HostView, fault: Blame) -> UpscaleStage:
    """Find an upscaler by name, or a network by its file's name: its name, and the files that it needs."""
    folder = host.folders.model_folder(WeightKind.UPSCALER.value)
    try:
        spec: UpscalerSpec = host.offer("upscalers", word)
    except NotFoundError as error:
        file = find_file(folder, [word], WeightKind.UPSCALER) if _opener(host) else None
        if file is None:
            fault(field, _unknown(str(error), host))
        return UpscaleStage(method=word, amount=1, weights=file)
    why = spec.missing()
    if why is not None:
        fault(field, f"'{word}' cannot work here: {why}")
        return UpscaleStage(method=spec.name, amount=1)
    if spec.build is not None:
        return UpscaleStage(method=spec.name, amount=1)
    file = find_file(folder, spec.files, WeightKind.UPSCALER)
    beside = {name: _either(folder, name) for name in spec.beside}
    missing = [name for name, found in beside.items() if found is None]
    if missing or file is None:
        fault(field, _without_files(spec, [] if file else list(spec.files[:1]), missing, host))
    return UpscaleStage(
        method=spec.name, amount=1, weights=file, beside=tuple(one for one in beside.values() if one)
    )


def _either(folder: Path, name: str) -> WeightFile | None:
    """Find a file by its name, or the same tensors as a `.safetensors`."""
    return find_file(folder, (name, f"{Path(name).stem}.safetensors"), WeightKind.UPSCALER)


def _opener(host: HostView) -> UpscalerSpec | None:
    """Find an offer that opens any file."""
    specs = host.offers("upscalers").values()
    return next((spec for spec in specs if spec.open is not None and not spec.files), None)


def _unknown(message: str, host: HostView) -> str:
    if _opener(host) is None:
        return message
    folder = host.folders.model_folder(WeightKind.UPSCALER.value)
    there = ", ".join(file_names(folder)) or "none"
    return f"{message}; or name a file in {folder} (there: {there})"


def _without_files(spec: UpscalerSpec, first: list[str], beside: list[str], host: HostView) -> str:
    folder = host.folders.model_folder(WeightKind.UPSCALER.value)
    if not spec.files:
        there = ", ".join(file_names(folder)) or "none"
        return (
            f"'{spec.name}' opens networks by the name of their file; name one in {folder} (there: {there})"
        )
    urls = {spec.files[0]: spec.source, **spec.beside}
    how = " && ".join(fetched_by(folder, name, urls[name]) for name in (*first, *beside) if urls[name])
    names = [" or ".join(spec.files)] if first else []
    wanted = ", ".join([*names, *beside])
    return f"'{spec.name}' needs its weights; put {wanted} into {folder}" + (
        f", for instance by: {how}" if how else ""
    )


# -- drawing over ------------------------------------------------------------------------------


def _followers(
    request: InvocationRequest, host: HostView, place: Place, voice: Voice
) -> list[Follower | None]:
    """Resolve the ControlNets that follow what is drawn over, in their order; null is none, as is an empty list."""
    words, name = request.upscale_diffusion_controlnet, "upscale_diffusion_controlnet"
    if words and not request.upscale_diffusion:
        voice.note(f"{name} guides nothing without upscale_diffusion")
        return [None]
    fields = [name if len(words) == 1 else f"{name}[{i}]" for i in range(len(words))]
    return [
        None if word is None else resolve_follower(word, field, host, place.drawer, voice)
        for word, field in zip(words, fields, strict=True)
    ] or [None]


def _rediffusion(
    request: InvocationRequest, place: Place, index: int, control: Follower | None, note: Note
) -> Rediffusion | None:
    steps = _item(request.upscale_diffusion_steps, index)
    strength = _item(request.upscale_diffusion_strength, index)
    if int(steps * strength) == 0:
        note(
            f"stage {index + 1} is not drawn over: {steps} upscale_diffusion_steps at strength {strength:g} are none"
        )
        return None
    positive, negative = request.upscale_diffusion_prompt, request.upscale_diffusion_negative_prompt
    return Rediffusion(
        prompt=_joined(_item(positive, index), request.model_prompt) if positive else place.prompt,
        negative_prompt=(
            _joined(_item(negative, index), request.model_negative_prompt)
            if negative
            else place.negative_prompt
        ),
        num_inference_steps=steps,
        guidance_scale=_item(request.upscale_diffusion_guidance_scale, index),
        strength=strength,
        chunking_size=_stride(request, place, index),
        chunking_blur=_blur(request, place, index),
        scale_chunking_size=request.upscale_diffusion_scale_chunking_size,
        scale_chunking_blur=request.upscale_diffusion_scale_chunking_blur,
        control=control,
    )


def _joined(prompt: str, models: str | None) -> str:
    """Add the model's own words, as to the main prompt."""
    return ", ".join(part for part in (prompt, models) if part)


def _stride(request: InvocationRequest, place: Place, index: int) -> int:
    asked = request.upscale_diffusion_chunking_size
    first = place.size // 4 if asked is None else asked
    grown = _grown(first, place, index) if request.upscale_diffusion_scale_chunking_size else first
    return max(CELL_PX, grown) if grown else 0  # 0: one window


def _blur(request: InvocationRequest, place: Place, index: int) -> int:
    asked = request.upscale_diffusion_chunking_blur
    first = place.size // 4 if asked is None else asked
    return _grown(first, place, index) if request.upscale_diffusion_scale_chunking_blur else first


def _grown(first: int, place: Place, index: int) -> int:
    """Let windows move farther at each stage, so that they do not become too many; half a window at most."""
    return min(first * (index + 1), place.size // 2)


def _note_unread(request: InvocationRequest, stages: int, note: Note) -> None:
    if not request.upscale_diffusion:
        return
    for name in LISTS:
        given = len(getattr(request, name))
        if given > stages:
            note(f"{name} has {given} items, and the first {stages} of them are used, one a stage")


def _check_windows(stages: Sequence[UpscaleStage], place: Place, fault: Blame) -> None:
    width, height = place.width, place.height
    for stage in stages:
        width, height = width * stage.amount, height * stage.amount
        if stage.diffusion is None:
            continue
        cells = round_up(height, CELL_PX) // CELL_PX, round_up(width, CELL_PX) // CELL_PX
        stride = stage.diffusion.chunking_size
        count = window_count(*cells, place.size // CELL_PX, stride // CELL_PX)
        if count > MAX_WINDOWS:
            fault(
                "upscale_diffusion_chunking_size",
                f"{stride} px gives {count} windows a step at {width} x {height} px; at most {MAX_WINDOWS} are "
                "drawn, so raise it",
            )
