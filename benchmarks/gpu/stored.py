"""Random full-size models as folders on disk, and a server's events with their times, for what goes over HTTP."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from stretto.host import Precision
from stretto.host.engine.device import dtype_of
from stretto.host.testing.full_size import random_model

from ..models import SCHEDULER

__all__ = ["events", "observing", "settled", "stored"]

SETTLE_S = 10.0  # in which observers have heard all

TOKENIZER = Path(__file__).resolve().parents[2] / "plugins" / "starter" / "model" / "tokenizer"
OBSERVER = '''"""Writes every event down with its time."""
import json
from stretto.host import hookimpl

@hookimpl
def observe(event):
    told = {"kind": type(event).__name__, "job": event.job, "at": event.at}
    told |= {name: getattr(event, name) for name in ("step", "seconds", "model", "task") if hasattr(event, name)}
    with open(FILE, "a") as out:
        out.write(json.dumps(told) + "\\n")
'''


def stored(kind: str, folder: Path, device: str, precision: Precision, *, tiny: bool) -> Path:
    """Write the model in diffusers' layout once; 2 GB of SD 1.5 and 7 GB of SDXL in half precision."""
    if (folder / "model_index.json").exists():
        return folder
    from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
    from transformers import CLIPTokenizer

    model = random_model(kind, device, dtype_of(precision), tiny=tiny, texts=True)
    words = CLIPTokenizer.from_pretrained(TOKENIZER)
    parts: dict[str, Any] = {
        "unet": model.unet, "vae": model.vae, "text_encoder": model.text_encoders[0], "tokenizer": words,
        "scheduler": DDIMScheduler(**SCHEDULER),
    }  # fmt: skip
    if kind == "sdxl":
        pipeline: Any = StableDiffusionXLPipeline(
            **parts, text_encoder_2=model.text_encoders[1], tokenizer_2=words
        )
    else:
        pipeline = StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    pipeline.save_pretrained(part)
    part.rename(folder)
    return folder


def observing(data_dir: Path) -> tuple[Path, Path]:
    """Make a plugin that writes a server's events down; gives the plugins.toml with it, and the file of events."""
    data_dir.mkdir(parents=True, exist_ok=True)
    file, plugin = data_dir / "events.jsonl", data_dir / "written_down.py"
    plugin.write_text(OBSERVER.replace("FILE", repr(str(file))), encoding="utf-8")
    switches = data_dir / "plugins.toml"
    switches.write_text(f"[host]\npaths = [{json.dumps(str(plugin))}]\n", encoding="utf-8")
    return switches, file


def events(file: Path) -> list[Mapping[str, Any]]:
    """Give what was written down so far, in order."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def settled(file: Path, jobs: Collection[str]) -> list[Mapping[str, Any]]:
    """Give the events of jobs that are over, once their ends were written down: observers hear a little later."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        heard = [event for event in events(file) if event["job"] in jobs]
        missing = set(jobs).difference(event["job"] for event in heard if event["kind"] == "Finished")
        if not missing:
            return heard
        if time.monotonic() > deadline:
            raise TimeoutError(f"the end of {', '.join(missing)} was not heard within {SETTLE_S} s")
        time.sleep(0.01)
