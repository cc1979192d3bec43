"""Plan -> steps, in the order in which they are done, each saying why it is there."""

from __future__ import annotations

from collections.abc import Iterator

from ..contracts.plan import Diffuse, Node, Plan, Save, Step, Upscale
from .estimate import chunk_count, scheduled_steps

__all__ = ["order"]


def order(plan: Plan) -> tuple[Step, ...]:
    """Draw every node, enlarge stage by stage, save."""
    return (*_diffusions(plan), *_enlargements(plan), Save(why=_saved(plan)))


def _diffusions(plan: Plan) -> Iterator[Diffuse]:
    for node in plan.nodes:
        yield Diffuse(node=node, model=plan.base(), why=_drawn(plan, node))


def _drawn(plan: Plan, node: Node) -> str:
    chunks = chunk_count(plan, node)
    how = "the prompt" if node.image is None else f"an image at strength {node.strength:g}"
    in_chunks = f" in {chunks} windows" if chunks > 1 else ""
    return f"draw {node.width} x {node.height} px from {how}, {scheduled_steps(node)} steps{in_chunks}"


def _enlargements(plan: Plan) -> Iterator[Upscale]:
    width, height = plan.width, plan.height
    for stage in plan.upscale:
        width, height = width * stage.amount, height * stage.amount
        yield Upscale(
            stage=stage, why=f"enlarge {stage.amount} times to {width} x {height} px by {stage.method}"
        )


def _saved(plan: Plan) -> str:
    return "save the picture" if plan.samples == 1 else f"save {plan.samples} pictures"
