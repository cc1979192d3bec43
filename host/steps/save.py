"""Saving: PNG files that appear whole or not at all and say how they were made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..contracts.plan import Plan
from ..contracts.protocols import WITHHELD, Bench, Frame

__all__ = ["parameters", "save"]

# 97 ms for 1024 px against 160 ms at Pillow's default, for 12 % more bytes
_COMPRESS_LEVEL = 1
_FILES = ("path", "filename")  # keys of a plan that hold absolute paths


def save(frame: Frame, bench: Bench) -> Frame:
    """Write every picture as `<job>_<i>.png` into the images folder, numbered on from those that are there.

    A picture that is withheld is not written; the contract's word stands for it.
    """
    info = _text_chunks(bench.plan, bench.host.version, bench.host.folders.models)
    files = list(frame.files)
    for index, image in enumerate(frame.images):
        bench.tick("saving", ticks=0)
        if index in frame.flagged:
            files.append(WITHHELD)
            continue
        name = f"{bench.job}_{len(files)}.png"
        _write(image, bench.folders.images / name, info)
        files.append(name)
    return replace(frame, files=tuple(files))


def _write(image: Image.Image, path: Path, info: PngInfo) -> None:
    """Write beside the final place and rename, so that nobody ever reads half a picture."""
    part = path.with_name(f".{path.name}.part")
    try:
        image.save(part, format="PNG", compress_level=_COMPRESS_LEVEL, pnginfo=info)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _text_chunks(plan: Plan, version: str, models: Path) -> PngInfo:
    recorded = _without_folders(plan.to_json(), models)
    info = PngInfo()
    info.add_text("parameters", parameters(plan, version))
    info.add_text("stretto:version", version)
    info.add_text("stretto:plan", json.dumps(recorded, ensure_ascii=True))
    return info


def _without_folders(value: Any, models: Path) -> Any:
    """Give a plan's JSON with files by what they are called below `models`, or by their names alone.

    A picture goes to people whom our folders do not concern. `--replay` looks for weights by these names and their
    fingerprints, and for input images by content.
    """
    if isinstance(value, dict):
        return {
            key: _called(Path(item), models)
            if key in _FILES and isinstance(item, str)
            else _without_folders(item, models)
            for key, item in value.items()
        }
    return [_without_folders(item, models) for item in value] if isinstance(value, list | tuple) else value


def _called(path: Path, models: Path) -> str:
    return path.relative_to(models).as_posix() if path.is_relative_to(models) else path.name


def parameters(plan: Plan, version: str) -> str:
    """Say a plan in the three lines that other programs for Stable Diffusion read from a PNG."""
    node = plan.nodes[0]
    facts: dict[str, object] = {
        "Steps": node.num_inference_steps,
        "Sampler": plan.scheduler or "model default",
        "CFG scale": f"{node.guidance_scale:g}",
        "Seed": plan.seed,
        "Size": f"{plan.width}x{plan.height}",
        "Model": plan.model.name or Path(plan.model.path).stem,
    }
    if node.image is not None:
        facts["Denoising strength"] = f"{node.strength:g}"
    if plan.vae_name:
        facts["VAE"] = plan.vae_name
    facts["Version"] = f"stretto {version}"
    words, avoided = _words(plan)
    lines = [words]
    if avoided:
        lines.append(f"Negative prompt: {avoided}")
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in facts.items())])


def _words(plan: Plan) -> tuple[str, str]:
    """Give what is drawn and what is avoided: of several nodes the invocation's words, or else all of theirs."""
    if not plan.composed:
        return plan.nodes[0].prompt, plan.nodes[0].negative_prompt
    every = ", ".join(dict.fromkeys(node.prompt for node in plan.nodes if node.prompt and not node.paste))
    return plan.prompt or every, plan.negative_prompt
