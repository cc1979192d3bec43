"""How one rectangle is drawn: its words, what of it is drawn, by which model, under which ControlNets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ..contracts.models import Difference, WeightFile
from ..contracts.plan import Bounds, Node, Remainder
from ..contracts.request import InvocationRequest
from .backgrounds import with_background
from .canvas import Canvas, windows_over
from .control import Drawer, asked_controls, resolve_controls
from .draft import Draft
from .inpainters import find_beside, inpainter, told
from .masks import Sides, Voice, settled, sized
from .refining import Drawn, Finish, finisher

__all__ = ["DEFAULT_GUIDANCE", "Drawing", "Studio", "Words", "draw_whole", "merged_prompts", "rectangle"]

DEFAULT_STEPS = 40
DEFAULT_GUIDANCE = 7.0

Words = tuple[str, str]  # what is drawn, and what is avoided


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What a plan draws: its nodes, and what paints the rest of the canvas."""

    nodes: tuple[Node, ...]
    remainder: Remainder | None = None
    remove_background: bool = False  # of the whole, when all is drawn

    def drawn(self) -> Iterator[Node]:
        """Give every node that a model draws, children and the rest among them."""
        for node in self.nodes:
            yield from node.children
            if not node.paste:
                yield node
        if self.remainder is not None:
            yield self.remainder.node

    def cuts_out(self) -> bool:
        """Say whether any background is removed."""
        nodes = [child for node in self.nodes for child in (node, *node.children)]
        return self.remove_background or any(node.remove_background for node in nodes)


@dataclass(slots=True)
class Studio:
    """What every node of a request is drawn with: each model is looked for once."""

    draft: Draft
    canvas: Canvas
    filler: WeightFile | None = None  # who fills masks, where that is not the base
    filler_px: int | None = None
    difference: Difference | None = None
    finish: Finish = field(init=False)
    windows: int = 1  # the most over any node
    _looked: bool = False

    def __post_init__(self) -> None:
        """Find the inpainter and the refiner that were asked for."""
        draft, canvas = self.draft, self.canvas
        self.filler, self.filler_px = inpainter(
            draft.request, draft.host, draft.weights, canvas.size, draft.voice
        )
        drawn = Drawn(weights=draft.weights, size_px=canvas.size, stride_px=canvas.stride)
        self.finish = finisher(draft.request, draft.host, drawn, draft.voice)

    def settled(self, node: Node, asked: InvocationRequest, voice: Voice) -> Node:
        """Settle what of a node is drawn, and how large, as `asked` says; `voice` hears what is wrong."""
        # a part that is drawn by itself would need its part of every control image, and sees no other end
        cropped = asked.crop_inpaint and not asked_controls(asked) and not any(asked.tile)
        return self.counted(settled(node, replace(asked, crop_inpaint=cropped), self._sides, voice), asked)

    def sized(self, node: Node, asked: InvocationRequest, voice: Voice) -> Node:
        """Settle how large a node is drawn that is drawn whole."""
        return self.counted(sized(node, self._sides.of(node), voice), asked)

    def guided(self, node: Node, asked: InvocationRequest, voice: Voice) -> Node:
        """Put a node under its ControlNets, of the family of the model that draws it, and let it be refined."""
        drawer = Drawer(family=self.draft.weights.family, offer=self.draft.offer)
        if node.paints and self.filler is not None:
            drawer = Drawer(family=self.filler.family, offer=None)
        node = replace(node, controls=resolve_controls(asked, self.draft.host, drawer, voice))
        return self.refined(node, asked, voice)

    def refined(self, node: Node, asked: InvocationRequest, voice: Voice) -> Node:
        """Say how a node is refined."""
        return replace(self.finish, request=asked, voice=voice).of(node)

    def counted(self, node: Node, asked: InvocationRequest) -> Node:
        """Look who fills a mask, where one is filled, and count the windows over a node."""
        if node.paints and self.filler is None and not self._looked:
            draft = self.draft
            self.filler, self.difference = find_beside(
                draft.request, draft.weights, draft.offer, draft.host, voice=draft.voice
            )
            self._looked = True
        windows = windows_over(node, self._sides.of(node), self.canvas.stride, asked.tile)
        self.windows = max(self.windows, windows)
        return node

    def tell(self, drawing: Drawing) -> None:
        """Say who fills masks where that is not plain from the request."""
        nodes = sorted(drawing.drawn(), key=lambda node: not node.paints)
        if nodes:
            told(nodes[0], self.filler, self.draft.voice)

    @property
    def _sides(self) -> Sides:
        return Sides(draw_px=self.canvas.size, fill_px=self.filler_px or self.canvas.size)


def merged_prompts(draft: Draft) -> Words:
    """Give what is drawn and what is avoided, the model's own words at the end."""
    request = draft.request
    positive = ", ".join(part for part in (request.prompt, request.model_prompt) if part)
    negative = ", ".join(part for part in (request.negative_prompt, request.model_negative_prompt) if part)
    if not positive.strip() and request.image is None and not request.nodes:
        draft.fault("prompt", "is empty and there is no image; say what to draw, or give an image")
    return positive, negative


def draw_whole(studio: Studio, words: Words) -> Drawing:
    """Plan the one node of a request that names none: the whole canvas."""
    request, canvas, voice = studio.draft.request, studio.canvas, studio.draft.voice
    bounds = Bounds(left=0, top=0, right=canvas.width, bottom=canvas.height)
    node = with_background(rectangle(request, bounds, words), request, voice)
    node = studio.settled(node, request, voice)
    return Drawing(nodes=(studio.guided(node, request, voice),))


def rectangle(asked: InvocationRequest, bounds: Bounds, words: Words) -> Node:
    """Give a node of the parameters that it has in common with an invocation, nothing settled yet."""
    return Node(
        bounds=bounds,
        width=bounds.right - bounds.left,
        height=bounds.bottom - bounds.top,
        prompt=words[0],
        negative_prompt=words[1],
        num_inference_steps=asked.num_inference_steps or DEFAULT_STEPS,
        guidance_scale=DEFAULT_GUIDANCE if asked.guidance_scale is None else asked.guidance_scale,
        strength=asked.strength,
        image=asked.image,
        mask=asked.mask,
        invert_mask=asked.invert_mask,
        scale_to_model_size=asked.scale_to_model_size,
        fit=asked.fit,
        anchor=asked.anchor,
    )
