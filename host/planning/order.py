"""Plan -> steps, in the order in which they are done, each saying why it is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..contracts.acceleration import Build
from ..contracts.models import Precision, Role
from ..contracts.plan import Node, Plan, Remainder
from ..contracts.steps import (
    Compile,
    Diffuse,
    Fill,
    Flatten,
    Lay,
    Paste,
    Rediffuse,
    Refine,
    RemoveBackground,
    Save,
    Step,
    Upscale,
)
from .estimate import chunk_count, drawn_over, remainder_ticks, scheduled_steps
from .safety import with_checks

__all__ = ["order"]


def order(plan: Plan) -> tuple[Step, ...]:
    """Draw every node, enlarge (and draw over) stage by stage, save; or build engines, and draw nothing."""
    if plan.builds:
        return tuple(_compiled(plan, build) for build in plan.builds)
    return (*with_checks(plan, _diffusions(plan)), *_enlargements(plan), Save(why=_saved(plan)))


def _compiled(plan: Plan, build: Build) -> Compile:
    spec = plan.base()
    if build.inpainter and plan.inpainter is not None:
        spec = replace(
            spec, role=Role.INPAINTER, weights=plan.inpainter, difference=plan.inpainter_difference
        )
    elif build.refiner:
        spec = plan.refines()
    if build.target is not None and spec.precision is None:
        spec = replace(spec, precision=Precision.FLOAT16)  # what cards draw in, whatever this machine does
    target = f" for {build.target}" if build.target else ""
    own = plan.inpainter_size if build.inpainter else plan.refiner_size if build.refiner else None
    size_px = own or plan.size
    why = f"build the {build.component} of '{spec.weights.name}' with {build.compiler}{target}"
    return Compile(build=build, model=spec, size_px=size_px, why=why)


def _diffusions(plan: Plan) -> Iterator[Step]:
    for node in plan.nodes:
        yield from _laid(plan, node) if node.paste else _diffused(plan, node)
        if plan.composed:
            yield Paste(node=node, why=f"paste it at {node.bounds.left}, {node.bounds.top}")
    if plan.remainder is not None:
        yield _filled(plan, plan.remainder)
    if plan.composed:
        yield Flatten(why="make one picture of all nodes")
    if plan.remove_background:
        yield from _cut_out(plan)


def _laid(plan: Plan, node: Node) -> Iterator[Lay]:
    why = f"take the image as it is at {node.width} x {node.height} px"
    yield Lay(node=node, remover=plan.remover if node.remove_background else None, why=why)


def _diffused(plan: Plan, node: Node) -> Iterator[Step]:
    for child in node.children:
        yield Diffuse(node=child, model=plan.draws(child), why=_drawn(plan, child), once=True)
    yield Diffuse(node=node, model=plan.draws(node), why=_drawn(plan, node))
    yield from _refinements(plan, node)
    if node.remove_background and not node.fill_background:
        yield from _cut_out(plan)


def _cut_out(plan: Plan) -> Iterator[RemoveBackground]:
    if plan.remover is not None:
        why = f"remove the background by {plan.remover.method}"
        yield RemoveBackground(remover=plan.remover, why=why)


def _filled(plan: Plan, remainder: Remainder) -> Fill:
    node, chunks = remainder.node, chunk_count(plan, remainder.node)
    in_chunks = f" in {chunks} windows" if chunks > 1 else ""
    return Fill(
        remainder=remainder,
        model=plan.draws(node),
        refine=next(_refinements(plan, node), None),
        ticks=remainder_ticks(plan),
        why=f"paint what is empty of {node.width} x {node.height} px, {node.num_inference_steps} steps{in_chunks}",
    )


def _refinements(plan: Plan, node: Node) -> Iterator[Refine]:
    if node.refining is None or plan.refiner_size is None:
        return
    by = f"by {Path(plan.refines().weights.path).name}"
    how = f"strength {node.refining.strength:g}"
    if node.refining.start is not None:
        how = f"{node.refining.start:g} of the steps"
    yield Refine(
        node=node,
        refining=node.refining,
        model=plan.refines(),
        size_px=plan.refiner_size,
        why=f"refine {node.width} x {node.height} px {'from' if node.parted_at else 'at'} {how} {by}",
    )


def _drawn(plan: Plan, node: Node) -> str:
    chunks = chunk_count(plan, node)
    how = "the prompt" if node.image is None else f"an image at strength {node.strength:g}"
    if node.paints:
        how = f"a part of {how}"
    in_chunks = f" in {chunks} windows" if chunks > 1 else ""
    return f"draw {node.width} x {node.height} px from {how}, {scheduled_steps(node)} steps{in_chunks}"


def _enlargements(plan: Plan) -> Iterator[Upscale | Rediffuse]:
    for stage, result in zip(plan.upscale, drawn_over(plan), strict=True):
        size = f"{result.width} x {result.height} px"
        yield Upscale(stage=stage, why=f"enlarge {stage.amount} times to {size} by {stage.method}")
        if stage.diffusion is not None:
            in_chunks = f" in {result.chunks} windows" if result.chunks > 1 else ""
            how = stage.diffusion
            under = f" under '{how.control.controlnet}'" if how.control else ""
            why = f"draw over {size} at strength {how.strength:g}, {result.steps} steps{in_chunks}{under}"
            yield Rediffuse(settings=stage.diffusion, model=plan.refines(), why=why)


def _saved(plan: Plan) -> str:
    return "save the picture" if plan.samples == 1 else f"save {plan.samples} pictures"
