"""Enlargers with networks: Real-ESRGAN, and whatever else spandrel knows, from the upscaler folder.

Pictures go through the network tile by tile, with margins that are thrown away, so memory depends on
the tile and not on the picture.
"""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le
from stretto.host import HostView, Upscaler, UpscalerSpec, WeightFile, WeightsError, hookimpl

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "REAL_ESRGAN", "Network", "Settings", "enlarged_tiles", "read_network", "read_tensors", "register_upscalers", "resized",
]  # fmt: skip

REAL_ESRGAN = "https://github.com/xinntao/Real-ESRGAN/releases/download"
PIXELS = 3  # channels of RGB


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How `esrgan`, `esrganime`, `superres`, `realesrgan` and `gfpgan` cut pictures into the tiles that they enlarge."""

    tile: Annotated[int, Ge(16), Le(4096)] = field(
        default=192,
        metadata={
            "description": "Pixels of the picture that are kept of a tile, along each side. Less takes less memory: "
            "Real-ESRGAN takes about 1 GB for 192, in float32."
        },
    )
    overlap: Annotated[int, Ge(0), Le(512)] = field(
        default=32,
        metadata={
            "description": "Pixels around a tile that the network sees as well, so that no seams show; 0 is none. "
            "Real-ESRGAN's authors took 10."
        },
    )


@hookimpl
def register_upscalers(host: HostView) -> Iterable[UpscalerSpec]:
    """Offer the words of the JSON API, and any other network by the name of its file."""
    settings = host.plugin_settings("superres", Settings)
    load = partial(_load, settings)
    return [
        UpscalerSpec(
            name="esrgan",
            title="Real-ESRGAN x4plus, for photographs",
            files=("RealESRGAN_x4plus.pth", "RealESRGAN_x4plus.safetensors"),
            source=f"{REAL_ESRGAN}/v0.1.0/RealESRGAN_x4plus.pth",
            open=load,
        ),
        UpscalerSpec(
            name="esrganime",
            title="Real-ESRGAN x4plus anime, for drawings",
            files=("RealESRGAN_x4plus_anime_6B.pth", "RealESRGAN_x4plus_anime_6B.safetensors"),
            source=f"{REAL_ESRGAN}/v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
            open=load,
        ),
        UpscalerSpec(
            name="superres", title="Any network that spandrel knows, by the name of its file", open=load
        ),
    ]


def _load(settings: Settings, weights: WeightFile, device: str) -> Upscaler:
    return Network(read_network(Path(weights.path), device), settings, Path(weights.path))


@dataclass(frozen=True, slots=True)
class Network:
    """Enlarges with one network; `descriptor` is spandrel's, in float32."""

    descriptor: Any
    settings: Settings
    path: Path

    def upscale(self, image: Image, amount: int) -> Image:
        """Give `image` with both sides `amount` times as long."""
        from PIL import Image as Pictures

        whole = Pictures.new(image.mode, (image.width * amount, image.height * amount))
        for piece, at in self.pieces(image, amount):
            whole.paste(piece, at)
        return whole

    def pieces(self, image: Image, amount: int) -> Iterator[tuple[Image, tuple[int, int]]]:
        """Enlarge tile by tile; transparency, which the network does not know, by Lanczos.

        Where `amount` is not the network's own, its result is brought there by Lanczos.
        """
        clear = image.getchannel("A") if image.mode == "RGBA" else None
        colours = image.convert("RGB")
        for tile in enlarged_tiles(image.size, self.settings.tile, self.settings.overlap):
            large = self._through(colours.crop(tile.seen))
            scale = self.descriptor.scale
            width, height = ((b - a) * amount for a, b in (tile.kept[::2], tile.kept[1::2]))
            box = tile.inside(scale)
            piece = large.crop(box) if scale == amount else resized(large, (width, height), box)
            if clear is not None:
                piece.putalpha(resized(clear.crop(tile.seen), (width, height), tile.inside(1)))
            yield piece.convert(image.mode), (tile.kept[0] * amount, tile.kept[1] * amount)

    def _through(self, tile: Image) -> Image:
        import numpy as np
        import torch
        from PIL import Image as Pictures

        levels = torch.from_numpy(np.array(tile)).permute(2, 0, 1)[None]  # (1, 3, h, w)
        with torch.inference_mode():
            pixels = levels.to(self.descriptor.device, torch.float32) / 255.0
            large = self.descriptor(pixels)[0].clamp(0.0, 1.0).mul(255.0).round()
        if not bool(torch.isfinite(large).all()):
            raise WeightsError(f"{self.path} gives values that are not numbers; download it again")
        return Pictures.fromarray(large.to(torch.uint8).permute(1, 2, 0).cpu().numpy())


Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a picture: what is kept of it and what the network sees, with its margins."""

    kept: Box
    seen: Box

    def inside(self, scale: int) -> Box:
        """Say where the kept part lies in what was seen, `scale` times enlarged."""
        left, top = self.seen[:2]
        x0, y0, x1, y1 = self.kept
        return (x0 - left) * scale, (y0 - top) * scale, (x1 - left) * scale, (y1 - top) * scale


def resized(image: Image, size: tuple[int, int], box: Box) -> Image:
    """Bring the part `box` of `image` to `size` (width, height) by Lanczos, first across, then down.

    Pillow takes whichever direction first is faster for a shape, and cuts what overshoots in
    between: in one call, a tile would differ from the same part of the whole.
    """
    from PIL.Image import Resampling

    left, top, right, bottom = box
    across = image.resize((size[0], image.height), Resampling.LANCZOS, box=(left, 0, right, image.height))
    return across.resize(size, Resampling.LANCZOS, box=(0, top, size[0], bottom))


def enlarged_tiles(size: tuple[int, int], tile: int, overlap: int) -> Iterator[Tile]:
    """Cut a picture of `size` (width, height) into tiles of at most `tile` px, row by row."""
    width, height = size
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            kept = left, top, min(left + tile, width), min(top + tile, height)
            seen = (
                max(left - overlap, 0),
                max(top - overlap, 0),
                min(kept[2] + overlap, width),
                min(kept[3] + overlap, height),
            )
            yield Tile(kept=kept, seen=seen)


def read_network(path: Path, device: str) -> Any:
    """Load a network that makes RGB pictures from RGB pictures, without running code from the file.

    Raises WeightsError naming the file when it is broken, holds more than tensors, or is of an
    architecture that spandrel does not know.
    """
    import spandrel

    try:
        tensors = spandrel.canonicalize_state_dict(read_tensors(path))
        descriptor = spandrel.ModelLoader(device=device).load_from_state_dict(tensors)
    except spandrel.UnsupportedModelError as error:
        raise WeightsError(
            f"{path} is of no architecture that is known here; known are "
            f"{', '.join(sorted(str(known.architecture.id) for known in spandrel.MAIN_REGISTRY))}"
        ) from error
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise _broken(path, error) from error
    return _checked(descriptor, path).eval().float()


def _checked(descriptor: Any, path: Path) -> Any:
    import spandrel

    if descriptor.purpose == "FaceSR":
        raise WeightsError(
            f"{path} is a {descriptor.architecture.name} network, which restores faces that were found before; "
            "name the upscaler 'gfpgan' if it is GFPGAN's"
        )
    channels = descriptor.input_channels, descriptor.output_channels
    if not isinstance(descriptor, spandrel.ImageModelDescriptor) or channels != (PIXELS, PIXELS):
        raise WeightsError(
            f"{path} is a {descriptor.architecture.name} network from {channels[0]} to {channels[1]} channels for "
            f"{descriptor.purpose}; an upscaler takes and gives RGB"
        )
    return descriptor


def read_tensors(path: Path) -> dict[str, Any]:
    """Read a .safetensors, or a pickled file as data only: tensors by name, often one level down.

    Raises WeightsError naming the file when it is broken or holds more than tensors.
    """
    from safetensors import SafetensorError

    try:
        return _read(path)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is refused: it holds more than tensors, so it could run code of its own; nothing of it "
            "was run. Use a .safetensors file of the same network"
        ) from error
    except (
        AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SafetensorError, TypeError,
        ValueError, struct.error, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> WeightsError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return WeightsError(f"{path} cannot be loaded: {reason}; download it again")


def _read(path: Path) -> dict[str, Any]:
    if path.suffix.lower() == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(path))
    import torch

    with warnings.catch_warnings():
        # it asks to report what it cannot read; we do so, by the file's name
        warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
        value = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(value, Mapping):
        raise ValueError("it holds no tensors by name")  # noqa: TRY004 - the file is wrong, not the caller
    return dict(value)
