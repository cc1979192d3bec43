"""Stages of enlarging as objects, which is how later releases send them, into our lists."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stretto.host.errors import Fault

from .fields import shown

__all__ = ["Stages", "stages_of"]

AMOUNTS = (2, 4, 8, 16)
# a stage's word -> our list, and what stands where a stage says nothing
LISTS: dict[str, tuple[str, object]] = {
    "strength": ("upscale_diffusion_strength", 0.0),
    "num_inference_steps": ("upscale_diffusion_steps", 100),
    "guidance_scale": ("upscale_diffusion_guidance_scale", 12.0),
    "prompt": ("upscale_diffusion_prompt", ""),
    "negative_prompt": ("upscale_diffusion_negative_prompt", ""),
    "controlnet": ("upscale_diffusion_controlnet", None),
    "controlnet_scale": ("upscale_diffusion_controlnet_scale", 1.0),
}
SAME = {"inference_steps": "num_inference_steps", "chunking_size": "tiling_stride"}
READ = ("method", "amount", "tiling_stride", *LISTS)


@dataclass(slots=True)
class Stages:
    """Our parameters for some stages, what is worth telling, and where each came from."""

    given: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)

    def fault(self, path: str, message: str) -> None:
        """Note what is wrong with what the caller wrote at `path`."""
        self.faults.append(Fault(field=path, message=message))


def stages_of(word: str, items: Sequence[object], body: Mapping[str, object]) -> Stages:
    """Read the objects (or names of methods) that stand under `word` in `body`."""
    stages = Stages()
    read = [_stage(f"{word}[{i}]", item, stages) for i, item in enumerate(items)]
    amounts = [_amount(f"{word}[{i}].amount", one.get("amount", 2), stages) for i, one in enumerate(read)]
    if len(amounts) > 1 and any(amount != AMOUNTS[0] for amount in amounts):
        stages.fault(word, f"several stages enlarge 2 times each, and these {amounts}; send one of them")
    if "outscale" in body:
        stages.fault("outscale", f"is what the amounts under '{word}' make; leave it out")
    stages.given |= {
        "outscale": math.prod(amounts),
        "upscale": [one.get("method", "") for one in read],
        "upscale_iterative": len(read) > 1,
    }
    stages.origins |= {"outscale": word, **{f"upscale[{i}]": f"{word}[{i}].method" for i in range(len(read))}}
    stages.notes.append(f"'{word}' was read as 'outscale' {math.prod(amounts)} and lists of a stage each")
    _draw_over(word, read, body, stages)
    return stages


def _stage(path: str, item: object, stages: Stages) -> dict[str, object]:
    if isinstance(item, str):
        return {"method": item}
    if not isinstance(item, Mapping):
        stages.fault(path, f"{shown(item)} is not an object with method and amount")
        return {}
    stage = {SAME.get(str(key), str(key)): value for key, value in item.items() if value is not None}
    if "method" not in stage:
        stages.fault(f"{path}.method", f"is missing in {shown(item)}; name an upscaler, such as lanczos")
    unread = [key for key in stage if key not in READ]
    stages.notes += [f"'{path}.{key}' does nothing here" for key in unread]
    return stage


def _amount(path: str, value: object, stages: Stages) -> int:
    text = value.strip() if isinstance(value, str) else value
    found = next((amount for amount in AMOUNTS if text in (amount, str(amount)) and text is not True), None)
    if found is None:
        stages.fault(path, f"{shown(value)} is not one of {', '.join(map(str, AMOUNTS))}")
    return found or AMOUNTS[0]


def _draw_over(
    word: str, read: Sequence[dict[str, object]], body: Mapping[str, object], stages: Stages
) -> None:
    """Let stages with a strength be drawn over, each with what it says, and the others not."""
    if not any(one.get("strength") for one in read):
        return
    stages.given["upscale_diffusion"] = True
    for key, (name, without) in LISTS.items():
        if key != "strength" and not any(key in one for one in read):
            continue
        otherwise = body.get(key, without) if key in ("prompt", "negative_prompt") else without
        stages.given[name] = [one.get(key, otherwise) for one in read]
        stages.origins |= {f"{name}[{i}]": f"{word}[{i}].{key}" for i in range(len(read))}
    strides = [one["tiling_stride"] for one in read if "tiling_stride" in one]
    if strides:
        stages.given |= {
            "upscale_diffusion_chunking_size": strides[0],
            "upscale_diffusion_scale_chunking_size": False,
        }
        stages.origins["upscale_diffusion_chunking_size"] = f"{word}[0].tiling_stride"
        if any(stride != strides[0] for stride in strides):
            stages.notes.append(f"windows move {strides[0]} px at every stage, which '{word}' says first")
