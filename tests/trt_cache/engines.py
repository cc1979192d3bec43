"""Engines for the tests of the cache: plain files under real keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from stretto.trt_cache.keys import AxisRange, EngineKey
from stretto.trt_cache.store import About, EngineStore, Source, StoredEngine

ABOUT = About(
    model="mine.safetensors",
    size_px=512,
    sources=(
        Source(kind="model", name="mine.safetensors", path="/models/mine.safetensors", sha256="a" * 64),
        Source(
            kind="lora", name="ink.safetensors", path="/models/ink.safetensors", sha256="b" * 64, weight=0.5
        ),
    ),
    device="cpu",
    host="0.1.0",
)
KEY = EngineKey(
    component="unet",
    graph="0" * 64,
    axes=(
        ("batch", AxisRange(min=1, opt=2, max=16)),
        ("height", AxisRange.only(64)),
        ("width", AxisRange.only(64)),
    ),
    precision="float16",
    compiler="tensorrt",
    version="tensorrt 10.8",
    target="cpu",
    flags=("refit",),
)
FILES = {"engine.plan": b"plan" * 1000, "data/weights.bin": bytes(range(256)) * 40}


def key(**values: Any) -> EngineKey:
    return replace(KEY, **values)


def write(out: Path) -> None:
    for name, content in FILES.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(content)


def put(store: EngineStore, wanted: EngineKey = KEY, about: About = ABOUT) -> StoredEngine:
    return store.get_or_build(wanted, write, about)


def leftovers(root: Path) -> list[str]:
    """Name what is in the folder beside engines and locks."""
    return sorted(path.name for path in root.glob("*") if len(path.name) != 64 and path.name != ".locks")
