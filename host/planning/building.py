"""Plans that build engines instead of drawing: of what a plan would load, by a compiler that can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..contracts.acceleration import Build
from ..contracts.engines import Component
from ..contracts.models import Family
from ..contracts.plan import Plan
from ..contracts.protocols import HostView
from ..contracts.request import InvocationRequest
from ..contracts.specs import CompilerSpec
from ..errors import BadRequestError, UnsupportedError, did_you_mean
from .acceleration import TENSORRT
from .defaults import offer_of
from .inpainters import find_beside
from .masks import Voice

__all__ = ["INPAINT_UNET", "REFINER_UNET", "builds_of", "pick_compiler", "plan_build"]

INPAINT_UNET = "inpaint_unet"  # the contract's word for the UNet of the inpainting model
REFINER_UNET = "refiner_unet"  # that of the refiner
UNETS = (INPAINT_UNET, REFINER_UNET)
# a ControlNet is drawn with beside a model, and no model has one
NETWORKS = (*(str(one) for one in Component if one is not Component.CONTROLNET), *UNETS)
# what the models of a family lack; SDXL has both
LACKING = {
    Family.SD1: Component.TEXT_ENCODER_2,
    Family.SD2: Component.TEXT_ENCODER_2,
    Family.SDXL_REFINER: Component.TEXT_ENCODER,
}
DEFAULTS = (str(Component.UNET), str(Component.VAE_DECODER))
# Whose engines are built where nobody names a compiler: the first that can.
ORDER = (*TENSORRT, "onnxruntime", "torch_compile")


def pick_compiler(host: HostView, asked: str | None, *, on_gpu: bool) -> CompilerSpec:
    """Give the compiler that was asked for, else the first that can build for a GPU, or for this machine without.

    Raises BadRequestError for one that cannot, NotFoundError for one that nobody offers, UnsupportedError
    where nothing can.
    """
    if asked is not None:
        spec: CompilerSpec = host.offer("compilers", asked)
        if why := spec.missing():
            raise BadRequestError(f"'{spec.name}' cannot build here: {why}")
        return spec
    reasons, offers = [], host.offers("compilers")
    for name in ORDER:
        if name in TENSORRT and not on_gpu:
            reasons.append(f"'{name}': its engines need an NVIDIA GPU, and there is none")
            continue
        why = offers[name].missing() if name in offers else "no plugin offers it"
        if why is None:
            found: CompilerSpec = offers[name]
            return found
        reasons.append(f"'{name}': {why}")
    raise UnsupportedError(f"nothing can build engines here; {'; '.join(reasons)}")


def builds_of(
    spec: CompilerSpec, networks: Sequence[str] = (), targets: Sequence[str] = ()
) -> tuple[Build, ...]:
    """Give a build for each network and target; without any, of UNet and VAE decoder, for this machine.

    Raises BadRequestError for an unknown word, and for what the compiler does not compile.
    """
    named = networks or [word for word in DEFAULTS if word in spec.components]
    wanted: tuple[str | None, ...] = tuple(dict.fromkeys(targets)) or (None,)
    return tuple(_build(spec, word, target) for word in dict.fromkeys(named) for target in wanted)


def _build(spec: CompilerSpec, word: str, target: str | None) -> Build:
    if word not in NETWORKS:
        raise BadRequestError(f"no network is called '{word}'; {did_you_mean(word, NETWORKS)}")
    component = Component.UNET if word in UNETS else Component(word)
    if component not in spec.components:
        raise BadRequestError(
            f"'{spec.name}' does not compile {word}; it compiles {', '.join(spec.components)}"
        )
    return Build(
        component=component,
        compiler=spec.name,
        target=target,
        inpainter=word == INPAINT_UNET,
        refiner=word == REFINER_UNET,
    )


def plan_build(plan: Plan, build: Build, host: HostView) -> Plan:
    """Give the plan that builds one engine of what `plan` would load, and draws nothing.

    Raises BadRequestError where there is no inpainting model, or no refiner, for one that is to be compiled, and
    for a component that no model of its family has.
    """
    family = plan.model.family
    if family is not None and LACKING.get(family) is build.component:
        raise BadRequestError(
            f"'{plan.model.name or plan.model.path}' has no {build.component}: models of {family} have none"
        )
    if build.refiner and plan.refiner is None:
        raise BadRequestError(
            f"'{plan.model.name or plan.model.path}' is drawn without one; name a `refiner`"
        )
    if build.inpainter and plan.inpainter is None:
        plan = _with_inpainter(plan, host)
    build = replace(build, profile=plan.engine_profile)
    return replace(plan, builds=(build,), acceleration=None, iterations=1, notes=())


def _with_inpainter(plan: Plan, host: HostView) -> Plan:
    """Find what would fill masks of a plan that has none."""
    request = InvocationRequest(lora=plan.lora, lycoris=plan.lycoris)
    reasons: list[str] = []
    voice = Voice(fault=lambda _name, why: reasons.append(why), note=reasons.append)
    offer = offer_of(plan.model, host)
    found, difference = find_beside(request, plan.model, offer, host, voice=voice)
    if found is None:
        said = "; ".join(["there is no inpainting model for it here", *reasons])
        raise BadRequestError(f"'{plan.model.name or plan.model.path}': {said}; name an `inpainter`")
    size = plan.inpainter_size or plan.size
    return replace(plan, inpainter=found, inpainter_difference=difference, inpainter_size=size)
