"""Real-ESRGAN through its authors' own package, where that is installed; `esrgan` gives the same pixels without."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import HostView, Upscaler, UpscalerSpec, WeightFile, WeightsError, hookimpl

from .superres import REAL_ESRGAN, read_tensors, resized
from .superres import Settings as Tiles  # under the name `Settings` they would be this plugin's own

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

__all__ = ["Package", "register_upscalers"]

NEEDED = ("realesrgan", "basicsr")
SCALES = {
    3: 4,
    12: 2,
    48: 1,
}  # by the channels that the first convolution takes: pixels are unshuffled into them


@hookimpl
def register_upscalers(host: HostView) -> Iterable[UpscalerSpec]:
    """Offer the package's two networks, with the tiles of `[plugins.superres]`."""
    load = partial(_load, host.plugin_settings("superres", Tiles))
    return [
        UpscalerSpec(
            name="realesrgan",
            title="Real-ESRGAN x4plus by the package realesrgan",
            files=("RealESRGAN_x4plus.pth",),
            source=f"{REAL_ESRGAN}/v0.1.0/RealESRGAN_x4plus.pth",
            open=load,
            missing=_missing,
        ),
        UpscalerSpec(
            name="realesrganime",
            title="Real-ESRGAN x4plus anime by the package realesrgan",
            files=("RealESRGAN_x4plus_anime_6B.pth",),
            source=f"{REAL_ESRGAN}/v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
            open=load,
            missing=_missing,
        ),
    ]


def _missing() -> str | None:
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    return (
        f"the package {' and '.join(absent)} is not installed (pip install 'stretto[realesrgan]'); "
        "'esrgan' and 'esrganime' need no package and give the same pixels"
    )


def _load(settings: Tiles, weights: WeightFile, device: str) -> Upscaler:
    """Load the network as the package does; raises WeightsError naming a file that is not Real-ESRGAN's."""
    import torch

    path = Path(weights.path)
    tensors = read_tensors(path)
    kept: Mapping[str, torch.Tensor] = next(
        (tensors[key] for key in ("params_ema", "params") if isinstance(tensors.get(key), Mapping)), {}
    )
    shape = _shape(kept, path)
    with _old_names():
        from basicsr.archs.rrdbnet_arch import RRDBNet
        from realesrgan import RealESRGANer

    try:
        work = RealESRGANer(
            scale=shape["scale"],
            model_path=str(path),
            model=RRDBNet(num_in_ch=3, num_out_ch=3, **shape),
            tile=settings.tile,
            tile_pad=settings.overlap,
            pre_pad=0,
            device=torch.device(device),
        )
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{path} does not fit Real-ESRGAN's network: {reason}; use 'esrgan'") from error
    return Package(work)


def _shape(tensors: Mapping[str, torch.Tensor], path: Path) -> dict[str, int]:
    """Read from the tensors how large their network is."""
    first, dense = tensors.get("conv_first.weight"), tensors.get("body.0.rdb1.conv1.weight")
    blocks = {name.split(".")[1] for name in tensors if name.startswith("body.")}
    if first is None or dense is None or first.shape[1] not in SCALES:
        raise WeightsError(
            f"{path} is not in Real-ESRGAN's layout (params_ema, conv_first, body); name it as an upscaler "
            "by its file, without the package"
        )
    return {
        "scale": SCALES[first.shape[1]],
        "num_feat": first.shape[0],
        "num_block": len(blocks),
        "num_grow_ch": dense.shape[0],
    }


@contextlib.contextmanager
def _old_names() -> Any:
    """Let basicsr 1.4.2 find a module that torchvision has dropped since, while it is imported."""
    from torchvision.transforms import functional

    name = "torchvision.transforms.functional_tensor"
    if importlib.util.find_spec(name) is not None:
        yield
        return
    stand_in = types.ModuleType(name)
    stand_in.rgb_to_grayscale = functional.rgb_to_grayscale  # type: ignore[attr-defined]  # modules take any name
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        del sys.modules[name]


@dataclass(frozen=True, slots=True)
class Package:
    """Enlarges with the package's `RealESRGANer`."""

    work: Any

    def upscale(self, image: Image, amount: int) -> Image:
        """Give `image` with both sides `amount` times as long; transparency goes by Lanczos."""
        import numpy as np
        from PIL import Image as Pictures

        levels = np.asarray(image.convert("RGB"))[:, :, ::-1]  # OpenCV's order: blue, green, red
        with contextlib.redirect_stdout(io.StringIO()):  # it prints a line a tile
            enlarged, _mode = self.work.enhance(levels)
        large = Pictures.fromarray(np.ascontiguousarray(enlarged[:, :, ::-1]))
        size = image.width * amount, image.height * amount
        result = large if large.size == size else resized(large, size, (0, 0, *large.size))
        if image.mode == "RGBA":
            result.putalpha(resized(image.getchannel("A"), size, (0, 0, *image.size)))
        return result.convert(image.mode)
