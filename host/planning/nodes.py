"""`nodes` of a request: each a rectangle with the majority of the invocation's own parameters.

A node without an image is drawn from its prompt. An image is laid as it is, or drawn over (infer), or
repainted where its mask is white or nothing is (inpaint), or followed by a ControlNet (control).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..contracts.images import ImageRef
from ..contracts.plan import Bounds, Node
from ..contracts.request import InvocationRequest, NodeRequest
from .canvas import MAX_PIXELS
from .control import asked_controls
from .drawing import Drawing, Studio, Words, draw_whole, rectangle
from .images import ImageNode
from .masks import Voice
from .remainder import plan_remainder

__all__ = ["SEED_STRIDE", "cutting", "draw_nodes"]

# Between the seeds of two nodes: more than any number of iterations adds.
SEED_STRIDE = 1000
# What a node has of its own, and else takes from the invocation.
INHERITED = (
    "strength", "conditioning_scale", "process_control_image", "crop_inpaint", "inpaint_feather",
    "num_inference_steps", "guidance_scale", "refiner_start", "refiner_strength", "refiner_guidance_scale",
    "refiner_aesthetic_score", "refiner_negative_aesthetic_score",
)  # fmt: skip
# What only the node's own word counts for.
OWN = (
    "image", "mask", "invert_mask", "fit", "anchor", "control_image", "controlnet", "controlnets",
    "remove_background", "fill_background", "scale_to_model_size",
)  # fmt: skip


def draw_nodes(studio: Studio, words: Words, seed: int) -> Drawing:
    """Plan every node of a request, and what is painted where they leave the canvas empty.

    An image or a control image of the invocation itself is drawn first, over the whole canvas, and
    the nodes over it; later ones over earlier ones. Faults are told with their paths, as `nodes[1].w`.
    """
    request = studio.draft.request
    below = tuple(_bottom(studio, words))
    nodes = [*below, *_regions(studio, words, seed, len(below))]
    if not nodes and not studio.draft.faults:
        return draw_whole(studio, words)
    drawing = Drawing(nodes=tuple(nodes), remove_background=request.remove_background and not _filled(below))
    return replace(drawing, remainder=plan_remainder(studio, drawing.nodes, words))


def _filled(below: tuple[Node, ...]) -> bool:
    return any(node.fill_background for node in below)


def _bottom(studio: Studio, words: Words) -> Iterator[Node]:
    """Give the invocation's own picture, which nodes are laid over, if it has an image."""
    request = studio.draft.request
    if request.image is None and not asked_controls(request):
        if request.mask is not None:
            voice = studio.draft.voice
            voice.fault(
                "mask",
                "there is no image whose part it could repaint; give `image` too, or each node its own",
            )
        return
    studio.draft.notes.append(
        "the invocation has an image of its own, so the nodes are laid over what that gives"
    )
    (node,) = draw_whole(studio, words).nodes
    yield node if node.fill_background else replace(node, remove_background=False)


def _regions(studio: Studio, words: Words, seed: int, below: int) -> Iterator[Node]:
    for index, asked in enumerate(studio.draft.request.nodes):
        node = _Region(studio, asked, index, words).node()
        if node is not None:
            offset = (index + below) * SEED_STRIDE if asked.seed is None else asked.seed - seed
            children = tuple(replace(child, seed_offset=offset) for child in node.children)
            yield replace(node, seed_offset=offset, children=children)


@dataclass(frozen=True, slots=True)
class _Region:
    """One node being planned."""

    studio: Studio
    asked: NodeRequest
    index: int
    words: Words  # the invocation's

    @property
    def voice(self) -> Voice:
        draft, index = self.studio.draft, self.index
        return Voice(
            fault=lambda name, message: draft.fault(f"nodes[{index}].{name}", message),
            note=lambda text: draft.note(f"node {index}: {text}"),
        )

    def node(self) -> Node | None:
        """Give the planned node; None where it cannot be, or lies outside the canvas."""
        bounds = self._bounds()
        if bounds is None:
            return None
        words = self._words()
        view = self._view(bounds, words)
        if self.asked.image is not None:
            return ImageNode(
                self.studio, self.asked, view, rectangle(view, bounds, words), self.voice
            ).planned()
        return self._from_prompt(view, rectangle(view, bounds, words))

    def _from_prompt(self, view: InvocationRequest, node: Node) -> Node | None:
        for name in ("mask", "infer", "inpaint", "fill_background"):
            if getattr(self.asked, name):
                self.voice.fault(name, "there is no image that it would be for; give `image` too")
        if not node.prompt.strip():
            self.studio.draft.fault(
                f"nodes[{self.index}]",
                "Can't assemble a node from arguments: it has neither a prompt nor an image; give one of them",
            )
            return None
        if self.asked.control and not asked_controls(view):
            self.voice.fault("controlnet", "is missing, and control needs one; name it")
        if self.asked.control is False:
            view = replace(view, controlnet=None, controlnets=(), control_image=None)
        node = replace(node, mask=None, remove_background=view.remove_background)
        return self.studio.guided(self.studio.sized(node, view, self.voice), view, self.voice)

    def _bounds(self) -> Bounds | None:
        """Give the node's rectangle, the image's size where none was asked for."""
        asked, canvas, request = self.asked, self.studio.canvas, self.studio.draft.request
        source = asked.image or asked.control_image
        width, height = asked.w or _side(source, "width"), asked.h or _side(source, "height")
        for name, side, value in (("w", "width", width), ("h", "height", height)):
            if value is None:
                self.voice.fault(name, f"Node {self.index} missing {side}, pass '{name}' or an image")
        if width is None or height is None:
            return None
        if width * height * request.samples > MAX_PIXELS:
            self.voice.fault(
                "w",
                f"{width} x {height} px, {request.samples} samples, are more than the {MAX_PIXELS} pixels that "
                "are drawn in one invocation; make it smaller",
            )
            return None
        bounds = Bounds(left=asked.x, top=asked.y, right=asked.x + width, bottom=asked.y + height)
        if (
            bounds.left >= canvas.width
            or bounds.top >= canvas.height
            or bounds.right <= 0
            or bounds.bottom <= 0
        ):
            self.voice.note(
                f"{bounds.left}, {bounds.top} to {bounds.right}, {bounds.bottom} is outside the canvas of "
                f"{canvas.width} x {canvas.height} px, so it is not drawn"
            )
            return None
        return bounds

    def _words(self) -> Words:
        """Give the node's words, its own first: an image hears the invocation's too, a prompt alone only what to avoid.

        So says the contract: the whole picture's subjects are not drawn into each of its parts. A node
        without a prompt has the invocation's.
        """
        request = self.studio.draft.request
        heard = request.prompt if self.asked.image or not (self.asked.prompt or "").strip() else None
        positive = _joined(self.asked.prompt, heard, request.model_prompt)
        negative = _joined(self.asked.negative_prompt, request.negative_prompt, request.model_negative_prompt)
        return positive, negative

    def _view(self, bounds: Bounds, words: Words) -> InvocationRequest:
        """Give the invocation as if this node were all of it."""
        asked = self.asked
        inherited = {name: getattr(asked, name) for name in INHERITED if getattr(asked, name) is not None}
        own = {name: getattr(asked, name) for name in OWN}
        return replace(
            self.studio.draft.request,
            prompt=words[0],
            negative_prompt=words[1],
            width=bounds.right - bounds.left,
            height=bounds.bottom - bounds.top,
            invert_control_image=asked.invert,
            nodes=(),
            **inherited,
            **own,
        )


def cutting(request: InvocationRequest) -> str:
    """Give the path of the first parameter that asks for a background to be removed."""
    nodes = [f"nodes[{index}]." for index, node in enumerate(request.nodes) if node.remove_background]
    return f"{'' if request.remove_background or not nodes else nodes[0]}remove_background"


def _side(image: ImageRef | None, name: str) -> int | None:
    return None if image is None else int(getattr(image, name))


def _joined(*parts: str | None) -> str:
    """Join words by commas, each once."""
    return ", ".join(dict.fromkeys(part for part in parts if part and part.strip()))
