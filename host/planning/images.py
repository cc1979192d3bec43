"""A node with an image: laid as it is, repainted, drawn over, or followed by ControlNets.

The contract's order: the mask, or what is empty, is painted first (by a node of its own, a child,
where more follows); then that is drawn over, or followed, or both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..contracts.plan import Control, Node
from ..contracts.request import InvocationRequest, NodeRequest
from .control import asked_controls
from .drawing import Studio
from .masks import Voice

__all__ = ["ImageNode"]


@dataclass(frozen=True, slots=True)
class ImageNode:
    """One being planned: `view` is the invocation as it sees it, `node` has nothing settled yet."""

    studio: Studio
    asked: NodeRequest
    view: InvocationRequest
    node: Node
    voice: Voice

    def planned(self) -> Node | None:
        """Give the node, with its child if it has one; None where it cannot be."""
        inpaint, control = self._inpaints(), self._follows()
        if not (self.asked.infer or inpaint or control):
            return self._laid()
        if self.view.remove_background and not self.node.prompt.strip():
            self.voice.fault("prompt", "is empty; say what to draw where the background is removed")
            return None
        painted = self._painted() if inpaint else self._filled_up()
        if self.asked.infer or control:
            return self._drawn_over(painted if painted.paints else None, control=control)
        if painted.paints:
            return self.studio.guided(painted, self._alone, self.voice)
        self.voice.note("there is nothing to repaint, so the image is laid as it is")
        return self._laid()

    @property
    def _alone(self) -> InvocationRequest:
        return replace(self.view, controlnet=None, controlnets=(), control_image=None)

    def _inpaints(self) -> bool:
        asked = self.asked
        inpaint = asked.mask is not None or asked.fill_background if asked.inpaint is None else asked.inpaint
        if asked.mask is not None and not inpaint:
            self.voice.note("the mask is not used, as inpaint is false")
        return inpaint

    def _follows(self) -> bool:
        asked, named = self.asked, bool(asked_controls(self.view))
        control = named if asked.control is None else asked.control
        if named and not control:
            self.voice.note("no ControlNet is used, as control is false")
        if control and not named:
            self.voice.fault("controlnet", "is missing, and control needs one; name it")
        return control

    def _laid(self) -> Node:
        if self.asked.prompt or self.asked.strength is not None:
            self.voice.note("the image is laid as it is; infer, inpaint or control would draw with it")
        return replace(
            self.node,
            paste=True,
            mask=None,
            scale_to_model_size=False,
            remove_background=self.asked.remove_background,
        )

    def _painted(self) -> Node:
        """Give the node that paints the mask and what the image leaves empty; it paints nothing if nothing is."""
        return self._settled(self.node)

    def _filled_up(self) -> Node:
        """Give the node that paints what the image leaves empty."""
        return self._settled(replace(self.node, mask=None, strength=1.0))

    def _settled(self, node: Node) -> Node:
        if self.view.remove_background:
            strength = node.strength if node.mask is not None else 1.0
            node = replace(
                node, remove_background=True, fill_background=True, outpaint=True, strength=strength
            )
        return self.studio.settled(node, self._alone, self.voice)

    def _drawn_over(self, child: Node | None, *, control: bool) -> Node:
        """Draw over the image, or over what its child makes of it, or from the prompt under what follows that."""
        node = replace(self.node, mask=None, image=self.node.image if self.asked.infer else None)
        if child is not None:
            node = replace(node, children=(child,), fit=None, anchor=None)
        node = self.studio.sized(node, self.view, self.voice)
        node = self.studio.guided(node, self.view if control else self._alone, self.voice)
        if child is None:
            return node
        controls = tuple(self._after(one, index) for index, one in enumerate(node.controls))
        if node.image is not None or any(one.of_child for one in controls):
            return replace(node, controls=controls)
        return replace(node, children=(), fit=self.node.fit, anchor=self.node.anchor)

    def _after(self, control: Control, index: int) -> Control:
        """Let a ControlNet that processes the node's image follow what is made of it."""
        every = asked_controls(self.view)
        own = every[index].process if index < len(every) else None
        processes = self.view.process_control_image if own is None else own
        return replace(control, of_child=processes and control.image == self.view.image)
