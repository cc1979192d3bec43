"""The peer: a plain diffusers pipeline in its own process, asked for pictures over standard input.

One JSON object a line in (prompt, width, height, steps, seed), one out (CPU-seconds, seconds).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main(model: str, out: str) -> None:
    """Load `model` in float32 and answer until standard input ends."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(model, safety_checker=None, torch_dtype=torch.float32)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        cpu, wall = time.process_time(), time.perf_counter()
        image = pipeline(
            job["prompt"],
            width=job["width"],
            height=job["height"],
            num_inference_steps=job["steps"],
            guidance_scale=7.0,
            generator=torch.Generator().manual_seed(job["seed"]),
        ).images[0]
        image.save(Path(out) / f"bare_{job['seed']}.png")
        print(json.dumps({"cpu_s": time.process_time() - cpu, "s": time.perf_counter() - wall}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
