"""The contract's view of a plan: its node and upscaling keys, as history shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .refining import refining_json

if TYPE_CHECKING:
    from .images import ImageRef
    from .plan import Node, Rediffusion, Region, UpscaleStage

__all__ = ["node_json", "upscale_json"]


def node_json(node: Node) -> dict[str, Any]:
    """Give one entry of the contract's `nodes`; an image is its size, mode and file name."""
    return {
        "width": node.width,
        "height": node.height,
        "prompt": node.prompt,
        "negative_prompt": node.negative_prompt,
        "controlnet": _one_or_all([control.controlnet for control in node.controls]),
        "conditioning_scale": _one_or_all([control.scale for control in node.controls] or [1.0]),
        "strength": node.strength,
        "num_inference_steps": node.num_inference_steps,
        "guidance_scale": node.guidance_scale,
        **refining_json(node.refining),
        "remove_background": node.remove_background,
        "scale_to_model_size": node.scale_to_model_size,
        "image": 0 if node.image and node.children else _image_json(node.image),
        "mask": _image_json(node.mask),
        "control_image": _one_or_all(
            [0 if control.of_child else _image_json(control.image) for control in node.controls]
        ),
        "process_control_image": all(control.preprocessing for control in node.controls),
        "children": [*map(node_json, node.children), *map(_region_json, node.regions)],
        "bounds": node.bounds.to_json(),
    }


def _region_json(region: Region) -> dict[str, Any]:
    return {
        "prompt": region.prompt,
        "negative_prompt": region.negative_prompt,
        "guidance_scale": region.guidance_scale,
        "bounds": region.bounds.to_json(),
    }


def _one_or_all(values: list[Any]) -> Any:
    """Give the contract's single value, a list where there are several, null where there is none."""
    return values if len(values) > 1 else next(iter(values), None)


def _named(names: list[str | None]) -> list[str | None] | None:
    """Give a name a stage, or null where no stage has one."""
    return names if any(names) else None


def _image_json(image: ImageRef | None) -> dict[str, Any] | None:
    if image is None:
        return None
    return {"width": image.width, "height": image.height, "mode": image.mode, "filename": image.path}


def upscale_json(stages: tuple[UpscaleStage, ...]) -> dict[str, Any] | None:
    """Give the contract's `upscale`; None without stages."""
    if not stages:
        return None
    amount = 1
    for stage in stages:
        amount *= stage.amount
    return {
        "method": [stage.method for stage in stages],
        "amount": amount,
        "iterative": len(stages) > 1,
        "diffusion": _rediffusion_json([stage.diffusion for stage in stages if stage.diffusion]),
    }


def _rediffusion_json(stages: list[Rediffusion]) -> dict[str, Any] | bool:
    if not stages:
        return False
    first = stages[0]
    return {
        "steps": [stage.num_inference_steps for stage in stages],
        "guidance_scale": [stage.guidance_scale for stage in stages],
        "chunking_size": [stage.chunking_size for stage in stages],
        "chunking_blur": [stage.chunking_blur for stage in stages],
        "strength": [stage.strength for stage in stages],
        "prompt": [stage.prompt for stage in stages],
        "negative_prompt": [stage.negative_prompt for stage in stages],
        "controlnet": _named([s.control.controlnet if s.control else None for s in stages]),
        "scale_chunking_size": first.scale_chunking_size,
        "scale_chunking_blur": first.scale_chunking_blur,
    }
