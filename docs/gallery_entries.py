"""What the gallery shows: a title, a line, and the requests as they are sent; add an entry to show more."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["COMPANIONS", "ENTRIES", "Entry"]

# Where the starter's companions are copied to, in the data directory's model folders.
COMPANIONS = {
    "lora/outline.safetensors": "outline-lora/pytorch_lora_weights.safetensors",
    "lycoris/pastel.safetensors": "pastel-loha/pastel.safetensors",
    "inversion/zog.safetensors": "zog-word/learned_embeds.safetensors",
}
INPUTS = "docs/gallery/inputs"


@dataclass(frozen=True)
class Entry:
    """One feature: its pictures stand in `docs/gallery/<name>.webp`, left to right as the requests."""

    name: str
    title: str
    says: str
    requests: tuple[dict[str, Any], ...]


def _entry(name: str, title: str, says: str, *requests: dict[str, Any]) -> Entry:
    steps = {"num_inference_steps": 20}
    return Entry(name, title, says, tuple({**request, **steps} for request in requests))


ENTRIES = (
    _entry(
        "text",
        "Text to image",
        "Four samples of one prompt, drawn at once.",
        {"prompt": "a cat to the left of a dog on a green background", "seed": 1, "samples": 4},
    ),
    _entry(
        "weights",
        "Weights in prompts",
        "Words count more or less.",
        {"prompt": "a (red:0.4) heart and a blue star", "seed": 5},
        {"prompt": "a red heart and a (blue star:1.4)", "seed": 5},
    ),
    _entry(
        "negative",
        "Negative prompts",
        "A heart without further words, without red, and without blue.",
        *({"prompt": "a heart", "seed": 7, "negative_prompt": avoided} for avoided in ("", "red", "blue")),
    ),
    _entry(
        "skipped",
        "Skipping layers of the text encoder",
        "`clip_skip` 0 and 1: the starter was taught by the last layer and misses it; other models were taught without.",
        *({"prompt": "a red heart above a blue square", "seed": 7, "clip_skip": count} for count in (0, 1)),
    ),
    _entry(
        "noise",
        "Offset noise",
        "`noise_offset` 0, 0.1 and 0.3: other levels of dark and bright.",
        *(
            {"prompt": "a red heart above a blue square", "seed": 7, "noise_offset": offset}
            for offset in (0, 0.1, 0.3)
        ),
    ),
    _entry(
        "wide",
        "Larger than the model",
        "128 px windows over a wide canvas, blended at every step; each follows the whole prompt.",
        {"prompt": "a yellow star on a blue background", "seed": 4, "width": 320, "height": 128},
    ),
    _entry(
        "seamless",
        "Seamless pictures",
        "Copies can be laid beside each other; the second is the first, four times.",
        {"prompt": "a yellow star on a purple background", "seed": 2, "tile": True},
    ),
    _entry(
        "image",
        "Image to image",
        "The image, and what two strengths make of it.",
        {"prompt": "a blue circle on a white background", "seed": 3, "image": f"{INPUTS}/red.png", "strength": 0},
        {"prompt": "a blue circle on a white background", "seed": 3, "image": f"{INPUTS}/red.png", "strength": 0.6},
        {"prompt": "a blue circle on a white background", "seed": 3, "image": f"{INPUTS}/red.png", "strength": 0.9},
    ),
    _entry(
        "placed",
        "Fitting an image to the canvas",
        "A wide image on a square canvas: as it is, contained, covering, and stretched; without a prompt nothing is painted beside it.",
        *(
            {
                "prompt": "", "seed": 3, "image": f"{INPUTS}/wide.png", "strength": 0, "width": 128, "height": 128,
                "fit": fit, "anchor": "center-center",
            }
            for fit in ("actual", "contain", "cover", "stretch")
        ),
    ),
    _entry(
        "inpaint",
        "Inpainting",
        "What is white in the mask is repainted, by the starter's inpainter, and its soft edge blends; what is black comes back exactly.",
        {
            "prompt": "a green star on a white background", "seed": 3, "image": f"{INPUTS}/red.png",
            "mask": f"{INPUTS}/hole.png", "strength": 1, "guidance_scale": 4,
        },
    ),
    _entry(
        "outpaint",
        "Outpainting",
        "What the image leaves empty is painted from the prompt.",
        {
            "prompt": "a red circle on a white background", "seed": 3, "image": f"{INPUTS}/red.png", "width": 192,
            "height": 128, "anchor": "center-center",
        },
    ),
    _entry(
        "nodes",
        "Several things on one canvas",
        "Two nodes, each drawn by its own words; then two images, one laid as it is and one drawn over.",
        {
            "prompt": "a cat and a dog on a green background", "seed": 1, "width": 256, "height": 128,
            "nodes": [
                {"x": 0, "w": 128, "h": 128, "prompt": "a cat on a green background"},
                {"x": 128, "w": 128, "h": 128, "prompt": "a dog on a green background"},
            ],
        },
        {
            "prompt": "a white background", "seed": 3, "width": 256, "height": 128,
            "nodes": [
                {"x": 0, "image": f"{INPUTS}/red.png"},
                {
                    "x": 128, "image": f"{INPUTS}/red.png", "infer": True, "strength": 0.8,
                    "prompt": "a blue circle on a white background",
                },
            ],
        },
    ),
    _entry(
        "regions",
        "Regions that are drawn together",
        "Three prompts in one pass, blended where they meet; the prompt fills what is between.",
        {
            "prompt": "a green background", "seed": 2, "width": 384, "height": 128, "region_mode": "latent",
            "nodes": [
                {"x": 0, "y": 0, "w": 128, "h": 128, "prompt": "a cat on a green background"},
                {"x": 128, "y": 0, "w": 128, "h": 128, "prompt": "a dog on a green background"},
                {"x": 256, "y": 0, "w": 128, "h": 128, "prompt": "a red heart on a green background"},
            ],
        },
    ),
    _entry(
        "controlnet",
        "ControlNet",
        "One drawing of edges, followed in three colours.",
        *(
            {
                "prompt": f"a {colour} star on a white background", "seed": 3, "controlnet": "canny",
                "control_image": f"{INPUTS}/edges.png", "process_control_image": False,
            }
            for colour in ("red", "green", "blue")
        ),
    ),
    _entry(
        "shares",
        "A ControlNet for a share of the steps",
        "The same edges, followed to the end, for the first 30 % of the steps, and half as closely beside a second one.",
        *(
            {
                "prompt": "a red star on a white background", "seed": 3, "process_control_image": False,
                "controlnet": units,
            }
            for units in (
                [{"controlnet": "canny", "image": f"{INPUTS}/edges.png"}],
                [{"controlnet": "canny", "image": f"{INPUTS}/edges.png", "end": 0.3}],
                [
                    {"controlnet": "canny", "image": f"{INPUTS}/edges.png", "scale": 0.5},
                    {"controlnet": "canny", "image": f"{INPUTS}/edges.png", "scale": 0.5, "start": 0.2},
                ],
            )
        ),
    ),
    _entry(
        "lora",
        "LoRA",
        "The companion `outline-lora` at weights 0 and 1.",
        *(
            {
                "prompt": "a red circle on a white background", "seed": 3,
                "lora": [{"model": "outline.safetensors", "weight": weight}],
            }
            for weight in (0, 1)
        ),
    ),
    _entry(
        "lycoris",
        "LyCORIS",
        "The companion `pastel-loha` at weights 0 and 1.",
        *(
            {
                "prompt": "a red heart above a blue square", "seed": 7,
                "lycoris": [{"model": "pastel.safetensors", "weight": weight}],
            }
            for weight in (0, 1)
        ),
    ),
    _entry(
        "inversion",
        "A learnt word",
        "The companion `zog-word` teaches `<zog>`.",
        {"prompt": "<zog>", "seed": 3, "inversion": ["zog.safetensors"]},
        {"prompt": "<zog> to the left of a red heart", "seed": 3, "inversion": ["zog.safetensors"]},
    ),
    _entry(
        "refine",
        "Refining",
        "A second model over the finished picture; here the same one, at strengths 0 and 0.5.",
        {"prompt": "a dog on a yellow background", "seed": 9, "refiner": "starter", "refiner_strength": 0},
        {"prompt": "a dog on a yellow background", "seed": 9, "refiner": "starter", "refiner_strength": 0.5},
    ),
    _entry(
        "resamplers",
        "Enlarging without a network",
        "Four times as large by `nearest`, `bilinear`, `bicubic` and `lanczos`.",
        *(
            {
                "prompt": "", "seed": 3, "image": f"{INPUTS}/wide.png", "strength": 0, "width": 48, "height": 24,
                "fit": "stretch", "outscale": 4, "upscale": method,
            }
            for method in ("nearest", "bilinear", "bicubic", "lanczos")
        ),
    ),
    _entry(
        "upscale",
        "Enlarging, and drawing over",
        "Twice as large by Lanczos; then drawn over, too.",
        {"prompt": "a red heart on a white background", "seed": 7, "outscale": 2, "upscale": "lanczos"},
        {
            "prompt": "a red heart on a white background", "seed": 7, "outscale": 2, "upscale": "lanczos",
            "upscale_diffusion": True, "upscale_diffusion_chunking_size": 0, "upscale_diffusion_strength": 0.2,
            "upscale_diffusion_guidance_scale": 2,
        },
    ),
    _entry(
        "follow",
        "Drawing over along the edges",
        "Enlarged four times in two stages, each drawn over while a ControlNet follows its edges.",
        {
            "prompt": "a red heart on a white background", "seed": 7, "outscale": 4, "upscale": "lanczos",
            "upscale_iterative": True, "upscale_diffusion": True, "upscale_diffusion_steps": 20,
            "upscale_diffusion_strength": 0.2, "upscale_diffusion_guidance_scale": 2,
            "upscale_diffusion_controlnet": "canny", "upscale_diffusion_chunking_size": 0,
        },
    ),
    _entry(
        "hand_over",
        "Handing over to a refiner",
        "The refiner (here the same model) takes the unfinished picture over after 60 % of the steps.",
        {"prompt": "a dog on a yellow background", "seed": 9, "refiner": "starter", "refiner_start": 0.6},
    ),
    _entry(
        "iterations",
        "Iterations",
        "Three runs, one after the other, with the seeds 11, 12 and 13.",
        {"prompt": "a flower", "seed": 11, "iterations": 3},
    ),
)  # fmt: skip
