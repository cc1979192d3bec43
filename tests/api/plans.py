"""Plans to keep in a store, made by hand."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import Any

from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.models import Family, Precision, WeightFile, WeightKind
from stretto.host.contracts.plan import Bounds, Node, Plan, UpscaleStage
from stretto.host.contracts.ports import Job
from stretto.host.contracts.request import Adapter

NODE = Node(
    bounds=Bounds(left=0, top=0, right=64, bottom=64),
    width=64,
    height=64,
    prompt="a cat",
    negative_prompt="",
    num_inference_steps=40,
    guidance_scale=7.0,
    strength=0.8,
)
PLAN = Plan(
    model=WeightFile(path="/models/starter", kind=WeightKind.DIFFUSERS, family=Family.SD1, name="starter"),
    size=64,
    width=64,
    height=64,
    seed=0,
    samples=1,
    prompt="a cat",
    negative_prompt="",
    nodes=(NODE,),
    scheduler=None,
    multi_scheduler=None,
    chunking_size=0,
    chunking_blur=0,
)
FULL = replace(
    PLAN,
    seed=2**53 - 1,
    prompt='ünï "quoted" \\ 🐈\n',
    vae=WeightFile(path="/v", kind=WeightKind.VAE, size_px=512),
    vae_name="mse",
    precision=Precision.BFLOAT16,
    scheduler="eds",
    upscale=(UpscaleStage(method="lanczos", amount=2), UpscaleStage(method="nearest", amount=2)),
    lora=(Adapter(model="a", weight=0.5),),
    lycoris=(Adapter(model="b"),),
    inversion=(Adapter(model="c"),),
    notes=("one", "two"),
    nodes=(
        NODE,
        replace(
            NODE,
            image=ImageRef(path="/i/a.png", width=3, height=4, mode="RGBA", sha256="0" * 64),
            fit="cover",
            anchor="top-left",
        ),
    ),
)


def job(**changes: Any) -> Job:
    return replace(Job(uuid=uuid.uuid4().hex, user_id=0, plan=PLAN, created=time.time()), **changes)
