"""Which networks of a model a plan asks engines for, and where it can have none."""

from __future__ import annotations

from ..contracts.engines import Component
from ..contracts.models import Precision
from ..contracts.plan import Plan
from ..contracts.protocols import LoadedModel
from ..contracts.specs import CompilerSpec
from ..errors import UnsupportedError
from .graphs import present

__all__ = ["engine_precision", "obstacle", "wanted"]


def wanted(plan: Plan, model: LoadedModel) -> tuple[Component, ...]:
    """Say which networks of a model are compiled for a plan: what runs often, or over many pixels."""
    nodes = [*plan.nodes, *(child for node in plan.nodes for child in node.children)]
    over = [stage.diffusion for stage in plan.upscale if stage.diffusion]
    asked = [Component.UNET]
    if any(node.controls for node in nodes) or any(drawn.control for drawn in over):
        asked.append(Component.CONTROLLED_UNET)
    asked.append(Component.VAE_DECODER)
    if over or plan.refiner or any(node.image or node.mask for node in nodes):
        asked.append(Component.VAE_ENCODER)
    return tuple(component for component in asked if component in present(model))


def obstacle(model: LoadedModel, plan: Plan) -> str | None:
    """Say why no engine can be used for a whole plan; None where some can."""
    if any(plan.tile):
        return "pictures that go on at their other end (`tile`) are drawn by torch: an engine's borders are fixed"
    if "forward" in vars(model.unet):
        return "the memory is full, and an engine would take more of it"
    return None


def engine_precision(model: LoadedModel, component: Component, spec: CompilerSpec) -> Precision:
    """Give what a component's engine computes in: as the network does, else in float32."""
    vae = component in (Component.VAE_DECODER, Component.VAE_ENCODER)
    weight = next((model.vae if vae else model.unet).parameters())
    own = Precision(str(weight.dtype).removeprefix("torch."))
    if own in spec.precisions:
        return own
    if Precision.FLOAT32 in spec.precisions:
        return Precision.FLOAT32
    raise UnsupportedError(
        f"'{spec.name}' does not compute in {own}; it does in {', '.join(spec.precisions)}"
    )
