"""A plan as JSON Schema: the contract's keys of it, and the whole dataclass under `resolved`."""

from __future__ import annotations

from typing import Any

from stretto.host.contracts.plan import Plan

from .json_schema import NULL, NUMBER, TEXT, WHOLE, Shape, either, listed, ref, thing

__all__ = ["of_dataclass", "plan_schemas"]

RESOLVED = "Resolved"
FLAG: Shape = {"type": "boolean"}
TEXT_OR_NULL: Shape = {"type": ["string", "null"]}
WHOLE_OR_NULL: Shape = {"type": ["integer", "null"]}
NUMBER_OR_NULL: Shape = {"type": ["number", "null"]}
IMAGE = {
    **thing("*", width=WHOLE, height=WHOLE, mode=TEXT, filename=TEXT),
    "description": "What an image is, and its file in the folder of inputs.",
}
IMAGE_OR_NULL = either(ref("PlanImage"), NULL)
IMAGE_OR_CHILD = either(ref("PlanImage"), {"const": 0, "description": "what its children draw"}, NULL)
BOUNDS = {**listed(listed(WHOLE)), "description": "`[[left, top], [right, bottom]]` in pixels"}
REGION = thing("*", prompt=TEXT, negative_prompt=TEXT, guidance_scale=NUMBER_OR_NULL, bounds=BOUNDS)
REDIFFUSION = thing(
    "*",
    steps=listed(WHOLE),
    guidance_scale=listed(NUMBER),
    chunking_size=listed(WHOLE),
    chunking_blur=listed(WHOLE),
    strength=listed(NUMBER),
    prompt=listed(TEXT),
    negative_prompt=listed(TEXT),
    controlnet={"type": ["array", "null"], "items": TEXT_OR_NULL},
    scale_chunking_size=FLAG,
    scale_chunking_blur=FLAG,
)


def plan_schemas() -> dict[str, Shape]:
    """Give the named schemas of a plan; those of `resolved` follow its dataclasses."""
    return {
        **of_dataclass(Plan, RESOLVED),
        "Plan": _plan(),
        "PlanNode": _node(),
        "PlanImage": IMAGE,
        "PlanUpscale": thing(
            "*", method=listed(TEXT), amount=WHOLE, iterative=FLAG, diffusion=either(FLAG, REDIFFUSION)
        ),
        "PlanAcceleration": thing("*", requested=TEXT, used=listed(TEXT), why=listed(TEXT)),
    }


def _plan() -> Shape:
    adapters = listed(ref(f"{RESOLVED}Adapter"))
    return thing(
        "*",
        model=TEXT,
        refiner=TEXT_OR_NULL,
        inpainter=TEXT_OR_NULL,
        lora=adapters,
        lycoris=adapters,
        inversion=listed(TEXT),
        scheduler=TEXT_OR_NULL,
        multi_scheduler=TEXT_OR_NULL,
        vae=TEXT_OR_NULL,
        width=WHOLE,
        height=WHOLE,
        size=WHOLE,
        inpainter_size=WHOLE_OR_NULL,
        refiner_size=WHOLE_OR_NULL,
        seed=WHOLE,
        prompt=TEXT,
        negative_prompt=TEXT,
        image=NULL,
        image_callback_steps=WHOLE_OR_NULL,
        nodes=listed(ref("PlanNode")),
        samples=WHOLE,
        upscale=either(ref("PlanUpscale"), NULL),
        chunking_size=WHOLE,
        chunking_blur=WHOLE,
        build_tensorrt=FLAG,
        acceleration=either(ref("PlanAcceleration"), NULL),
        resolved=ref(RESOLVED),
    )


def _node() -> Shape:
    return thing(
        "*",
        width=WHOLE,
        height=WHOLE,
        prompt=TEXT,
        negative_prompt=TEXT,
        controlnet=either(TEXT, listed(TEXT), NULL),
        conditioning_scale=either(NUMBER, listed(NUMBER)),
        strength=NUMBER,
        num_inference_steps=WHOLE,
        guidance_scale=NUMBER,
        refiner_start=NUMBER_OR_NULL,
        refiner_strength=NUMBER_OR_NULL,
        refiner_guidance_scale=NUMBER_OR_NULL,
        refiner_aesthetic_score=NUMBER_OR_NULL,
        refiner_negative_aesthetic_score=NUMBER_OR_NULL,
        remove_background=FLAG,
        scale_to_model_size=FLAG,
        image=IMAGE_OR_CHILD,
        mask=IMAGE_OR_NULL,
        control_image=either(IMAGE_OR_CHILD, listed(IMAGE_OR_CHILD)),
        process_control_image=FLAG,
        children=listed(either(ref("PlanNode"), REGION)),
        bounds=BOUNDS,
    )


def of_dataclass(owner: Any, name: str) -> dict[str, Shape]:
    """Give a dataclass as `name`, and each one in it as `name` and its own name."""
    from pydantic import TypeAdapter

    whole = TypeAdapter(owner).json_schema(
        ref_template=f"#/components/schemas/{name}{{model}}", mode="serialization"
    )
    found: dict[str, Shape] = {f"{name}{one}": shape for one, shape in whole.pop("$defs", {}).items()}
    found[name] = whole
    return {one: _untitled(shape) for one, shape in found.items()}


def _untitled(shape: Shape) -> Shape:
    shape.pop("title", None)
    for field in shape.get("properties", {}).values():
        field.pop("title", None)
    if "properties" in shape:
        shape["required"] = list(shape["properties"])  # an answer says all of it
    return shape
