"""What the pictures on the parameters' page are drawn from: one request each, changed from picture to picture."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["EXAMPLES", "Example"]

HEART = {"prompt": "a red heart above a blue square", "seed": 7, "num_inference_steps": 20}
CAT = {"prompt": "a cat on a green background", "seed": 3, "num_inference_steps": 20}
WHITE = {"prompt": "a red heart on a white background", "seed": 7, "num_inference_steps": 20}
CIRCLE = {"prompt": "a red circle on a white background", "seed": 3, "num_inference_steps": 20}
BLUE = {"prompt": "a blue circle on a white background", "seed": 3, "num_inference_steps": 20}
# Pictures that stand under docs/gallery/inputs; paths are the repository's.
RED = "docs/gallery/inputs/red.png"
HOLE = "docs/gallery/inputs/hole.png"
HALF = "docs/gallery/inputs/half.png"
EDGES = "docs/gallery/inputs/edges.png"
WIDE = "docs/gallery/inputs/wide.png"
CATS = (
    {"x": 0, "y": 0, "w": 128, "h": 128, "prompt": "a cat on a green background"},
    {"x": 128, "y": 0, "w": 128, "h": 128, "prompt": "a dog on a green background"},
)


@dataclass(frozen=True)
class Example:
    """A request, and what is different in it from picture to picture."""

    request: dict[str, Any]
    changes: tuple[dict[str, Any], ...]


def _over(name: str, request: dict[str, Any], *values: Any) -> Example:
    return Example(request, tuple({name: value} for value in values))


EXAMPLES = {
    "width": _over("width", CAT, 96, 128, 160),
    "height": _over("height", CAT, 96, 128, 160),
    "size": _over("size", CAT, 96, 128),
    "lora": Example(
        CIRCLE,
        tuple({"lora": [{"model": "outline.safetensors", "weight": weight}]} for weight in (0, 0.5, 0.75, 1)),
    ),
    "lycoris": Example(
        HEART,
        tuple({"lycoris": [{"model": "pastel.safetensors", "weight": weight}]} for weight in (0, 0.5, 0.75, 1)),
    ),
    "inversion": Example(
        {"seed": 3, "num_inference_steps": 20, "inversion": ["zog.safetensors"]},
        ({"prompt": "<zog>"}, {"prompt": "<zog> in the top left corner"}, {"prompt": "<zog> below a red heart"}),
    ),
    "prompt": Example(
        {"seed": 7, "num_inference_steps": 20},
        tuple(
            {"prompt": prompt}
            for prompt in (
                "a yellow star",
                "a cat on a green background",
                "a small red triangle in the top left corner",
                "a house below the sun",
            )
        ),
    ),
    "negative_prompt": Example(
        {"prompt": "a heart", "seed": 7, "num_inference_steps": 20},
        ({"negative_prompt": ""}, {"negative_prompt": "red"}, {"negative_prompt": "blue"}),
    ),
    "seed": _over("seed", {"prompt": "a dog", "num_inference_steps": 20}, 0, 1, 2, 3),
    "samples": Example({**CAT, "samples": 4}, ({},)),
    "iterations": Example({**CAT, "iterations": 4}, ({},)),
    "num_inference_steps": _over("num_inference_steps", HEART, 2, 5, 10, 40),
    "clip_skip": _over("clip_skip", HEART, 0, 1),
    "guidance_scale": _over("guidance_scale", HEART, 1, 3, 7, 15),
    "scheduler": _over("scheduler", {**CAT, "num_inference_steps": 25}, "ddim", "eds", "eads", "dpmsm", "unipc"),
    "chunking_size": _over("chunking_size", {**CAT, "width": 256}, 0, 32, 64),
    "chunking_blur": _over("chunking_blur", {**CAT, "width": 256}, 0, 32, 64),
    "noise_offset": _over("noise_offset", HEART, 0, 0.1, 0.3),
    "tile": _over("tile", {"prompt": "a red circle", "seed": 5, "num_inference_steps": 20}, False, "x", True),
    "strength": _over("strength", {**BLUE, "image": RED}, 0, 0.2, 0.3, 0.4, 0.8),
    "fit": _over("fit", {**BLUE, "prompt": "", "image": WIDE, "strength": 0, "width": 128, "height": 128},
                 "actual", "contain", "cover", "stretch"),
    "anchor": _over("anchor", {**BLUE, "prompt": "", "image": WIDE, "strength": 0, "fit": "cover", "width": 96, "height": 128},
                    "top-left", "center-center", "bottom-right"),
    "mask": Example({**BLUE, "image": RED, "strength": 1}, ({"mask": HALF}, {"mask": HALF, "invert_mask": True})),
    "inpainter": _over(
        "inpainter", {**BLUE, "prompt": "a blue star on a white background", "image": RED, "mask": HOLE, "strength": 1,
                      "guidance_scale": 4},
        "starter", "starter-inpainting",
    ),
    "nodes": Example(
        {"prompt": "a green background", "seed": 1, "num_inference_steps": 20, "width": 256, "height": 128},
        tuple({"nodes": list(CATS[:count])} for count in (1, 2)),
    ),
    "region_mode": _over(
        "region_mode",
        {"prompt": "a green background", "seed": 1, "num_inference_steps": 20, "width": 256, "height": 128, "nodes": list(CATS)},
        "paste", "latent",
    ),
    "conditioning_scale": _over(
        "conditioning_scale",
        {"prompt": "a green star on a white background", "seed": 3, "num_inference_steps": 20, "controlnet": "canny",
         "control_image": EDGES, "process_control_image": False},
        0, 0.5, 1,
    ),
    "outscale": _over("outscale", {**HEART, "upscale": "lanczos"}, 1, 2),
    "upscale_diffusion_strength": _over(
        "upscale_diffusion_strength",
        {**WHITE, "outscale": 2, "upscale": "lanczos", "upscale_diffusion": True, "upscale_diffusion_chunking_size": 0, "upscale_diffusion_guidance_scale": 2},
        0.1, 0.2, 0.4,
    ),
    "refiner_strength": _over("refiner_strength", {**HEART, "refiner": "starter"}, 0, 0.3, 0.6),
}  # fmt: skip
