"""How one rectangle is drawn: its words, what of it is drawn, by which model, under which ControlNets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..contracts.models import WeightFile
from ..contracts.plan import Bounds, Node
from ..contracts.request import InvocationRequest
from .backgrounds import with_background
from .canvas import Canvas, windows_over
from .control import Drawer, asked_controls, resolve_controls
from .draft import Draft
from .inpainters import Base, Filling, settle
from .masks import Voice
from .refining import Drawn, Finish, finisher

__all__ = ["DEFAULT_GUIDANCE", "DEFAULT_STEPS", "Drawing", "draw_whole", "merged_prompts"]

DEFAULT_STEPS = 40
DEFAULT_GUIDANCE = 7.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """The nodes of a plan, who fills masks and who refines, and the most windows that cover any of them."""

    nodes: tuple[Node, ...]
    filling: Filling
    finish: Finish
    windows: int


def merged_prompts(draft: Draft) -> tuple[str, str]:
    """Give what is drawn and what is avoided, the model's own words at the end."""
    request = draft.request
    positive = ", ".join(part for part in (request.prompt, request.model_prompt) if part)
    negative = ", ".join(part for part in (request.negative_prompt, request.model_negative_prompt) if part)
    if not positive.strip() and request.image is None:
        draft.fault("prompt", "is empty and there is no image; say what to draw, or give an image")
    return positive, negative


def draw_whole(draft: Draft, canvas: Canvas, prompts: tuple[str, str]) -> Drawing:
    """Plan the one node of a request that names none: the whole canvas."""
    request, voice = draft.request, draft.voice
    # a part that is drawn by itself would need its part of every control image, and sees no other end
    cropped = request.crop_inpaint and not asked_controls(request) and not any(request.tile)
    whole = replace(request, crop_inpaint=cropped)
    node = with_background(_node(request, canvas, prompts), request, voice)
    base = Base(weights=draft.weights, offer=draft.offer, size_px=canvas.size)
    filling = settle(node, whole, draft.host, base, voice)
    node = _controlled(filling.node, request, draft, filling.weights, voice)
    drawn = Drawn(weights=draft.weights, size_px=canvas.size, stride_px=canvas.stride)
    finish = finisher(request, draft.host, drawn, voice)
    node = finish.of(node)
    windows = windows_over(node, filling.side_px, canvas.stride, request.tile)
    return Drawing(nodes=(node,), filling=filling, finish=finish, windows=windows)


def _controlled(
    node: Node, request: InvocationRequest, draft: Draft, filler: WeightFile | None, voice: Voice
) -> Node:
    """Put a node under its ControlNets, which are of the family that draws it: the base model's, or the inpainter's."""
    drawer = Drawer(family=draft.weights.family, offer=draft.offer)
    if node.paints and filler is not None:
        drawer = Drawer(family=filler.family, offer=None)
    return replace(node, controls=resolve_controls(request, draft.host, drawer, voice))


def _node(request: InvocationRequest, canvas: Canvas, prompts: tuple[str, str]) -> Node:
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
