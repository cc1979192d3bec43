"""Settings that /api/settings shows and changes, and the folders of one data directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le, MaxLen

__all__ = ["MODEL_FOLDERS", "Folders", "Settings"]

# Folder names are the contract's (`/api/installation/<dir>`).
MODEL_FOLDERS = (
    "checkpoint",
    "diffusers",
    "lora",
    "lycoris",
    "inversion",
    "vae",
    "controlnet",
    "upscaler",
    "background",
    "preprocessor",
    "safety-checker",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an administrator may change while the server runs."""

    safe: bool = False
    auth: bool = False
    max_queued_invocations: Annotated[int, Ge(0), Le(100000)] = 4
    max_queued_downloads: Annotated[int, Ge(0), Le(100000)] = 10
    max_concurrent_downloads: Annotated[int, Ge(1), Le(64)] = 2
    switch_mode: Literal["offload", "unload"] | None = "offload"
    cache_mode: Literal["always", "xl"] | None = "xl"
    precision: Literal["float32", "float16", "bfloat16"] | None = None
    # ours
    model: str = "starter"
    acceleration: Annotated[str, MaxLen(64)] | None = None
    build_missing: bool = True
    idle_timeout_s: Annotated[float, Ge(1.0)] = 600.0
    silence_timeout_s: Annotated[float, Ge(1.0)] = 180.0
    pool_budget_bytes: Annotated[int, Ge(0)] | None = None  # None: most of the device's memory
    memory_limit_bytes: Annotated[int, Ge(2**28)] | None = None  # None: all of the usable RAM, or of the card
    max_body_bytes: Annotated[int, Ge(1024)] = 64 * 2**20
    max_image_pixels: Annotated[int, Ge(64)] = 64 * 10**6
    max_event_streams: Annotated[int, Ge(0), Le(500)] = 250
    max_wait_s: Annotated[float, Ge(0.0), Le(3600.0)] = 60.0
    allow_private_downloads: bool = False
    civitai_url: Annotated[str, MaxLen(2048)] = "https://civitai.com"


@dataclass(frozen=True, slots=True)
class Folders:
    """Where one host keeps its files, all under `root` (the data directory) but the engines, if it is told so."""

    root: Path
    engine_dir: Path | None = None  # which hosts of several data directories may share

    @property
    def images(self) -> Path:
        """Finished pictures, `<uuid>_<i>.png`."""
        return self.root / "images"

    @property
    def intermediates(self) -> Path:
        """Pictures of unfinished jobs."""
        return self.root / "intermediates"

    @property
    def thumbnails(self) -> Path:
        """Small copies of finished pictures."""
        return self.root / "thumbnails"

    @property
    def inputs(self) -> Path:
        """Input images by content, `<sha256>.png`."""
        return self.root / "inputs"

    @property
    def models(self) -> Path:
        """The model folders' parent."""
        return self.root / "models"

    @property
    def copies(self) -> Path:
        """Copies of single-file checkpoints in diffusers' format, by content."""
        return self.root / "cache" / "diffusers"

    @property
    def engines(self) -> Path:
        """Compiled engines by the digest of their key."""
        return self.engine_dir or self.root / "engines"

    @property
    def environments(self) -> Path:
        """Virtual environments of isolated plugins."""
        return self.root / "environments"

    def model_folder(self, kind: str) -> Path:
        """Give the folder of one of MODEL_FOLDERS."""
        return self.models / kind

    def create(self) -> None:
        """Make every folder that is not there; idempotent."""
        for folder in (self.images, self.intermediates, self.thumbnails, self.inputs):
            folder.mkdir(parents=True, exist_ok=True)
        for kind in MODEL_FOLDERS:
            self.model_folder(kind).mkdir(parents=True, exist_ok=True)
