"""Looks at a file or folder of weights and says what it is, without loading a tensor."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..contracts.models import Family, WeightFile, WeightKind
from ..errors import WeightsError
from .contents import context_family, family_of, in_channels, kind_of, prediction_of
from .header import Header, read_header, sample

__all__ = ["PICKLES", "SUFFIXES", "probe"]

# torch.save's formats; what is in them is code, so the catalogue never opens them.
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
SUFFIXES = (".safetensors", *PICKLES)
SIZES_PX = {Family.SD1: 512, Family.SD2: 768, Family.SDXL: 1024, Family.SDXL_REFINER: 1024}
SD2_NOISE_PX = 512  # SD 2.x that predicts noise was trained at 512 px
LONE = {
    "AutoencoderKL": WeightKind.VAE,
    "ControlNetModel": WeightKind.CONTROLNET,
    "UNet2DConditionModel": WeightKind.UNET,
}
WIDTHS = (128, 256, 512, 512)  # of the VAE in every family that is known here
CONFIG_BYTES = 4 * 2**20


def probe(path: Path) -> WeightFile:
    """Say what `path` holds; WeightsError names the file, what is wrong with it and what would do."""
    try:
        if path.is_dir():
            return _folder(path)
        if path.suffix.lower() == ".safetensors":
            return _safetensors(path)
        if path.suffix.lower() in PICKLES:
            return _pickle(path)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise WeightsError(
            f"{path} has settings of the wrong type in its JSON files ({error}); "
            "copy them again from the model's source"
        ) from error
    raise WeightsError(f"{path} is no weight file; known are {', '.join(SUFFIXES)} and folders of diffusers")


def _safetensors(path: Path) -> WeightFile:
    header = read_header(path)
    kind = kind_of(header)
    if kind is None:
        first = next(iter(header.shapes), "nothing")
        raise WeightsError(
            f"{path} holds weights of no kind that is known here (its first tensor is '{first}'); known are "
            "Stable Diffusion 1.x, 2.x and XL checkpoints, VAEs, LoRA, LyCORIS, inversions, controlnets, upscalers"
        )
    file = WeightFile(
        path=str(path),
        name=path.name,
        kind=kind,
        family=family_of(header, kind),
        size_bytes=header.size_bytes,
        fingerprint=header.digest,
    )
    return _checkpoint(file, header) if kind is WeightKind.CHECKPOINT else file


def _checkpoint(file: WeightFile, header: Header) -> WeightFile:
    """Add what only a whole model has, from its header and from the files beside it."""
    prediction = _stated_prediction(file) or prediction_of(header, file.family)
    size_px = SIZES_PX.get(file.family) if file.family else None
    if file.family is Family.SD2 and prediction == "epsilon":
        size_px = SD2_NOISE_PX
    if found := re.fullmatch(r"(\d+)x\d+", header.metadata.get("modelspec.resolution", "")):
        size_px = int(found[1])
    unet = file.companion / "unet" / "config.json"
    if unet.is_file():
        size_px = _side_px(_json(unet), file.companion) or size_px
    return replace(
        file,
        in_channels=in_channels(header),
        prediction_type=prediction,
        size_px=size_px,
        fingerprint=_with_companion(file),
    )


def _stated_prediction(file: WeightFile) -> str | None:
    """Read what the files beside a checkpoint say: our companion folder, or the original's YAML."""
    scheduler = file.companion / "scheduler" / "scheduler_config.json"
    if scheduler.is_file():
        stated = _json(scheduler).get("prediction_type")
        return str(stated) if stated else None
    yaml = Path(file.path).with_suffix(".yaml")
    if not yaml.is_file():
        return None
    found = re.search(r"^\s*parameterization:\s*['\"]?(\w+)", _text(yaml), re.MULTILINE)
    return "v_prediction" if found and found[1] == "v" else "epsilon"


def _with_companion(file: WeightFile) -> str:
    digest = hashlib.sha256(file.fingerprint.encode())
    for beside in sorted(file.companion.rglob("*")) if file.companion.is_dir() else ():
        if beside.is_file():
            digest.update(str(beside.relative_to(file.companion)).encode() + beside.read_bytes())
    return digest.hexdigest()


def _pickle(path: Path) -> WeightFile:
    """Know a pickled file by its folder, its size and, in torch's zip format, its parts' checksums."""
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.sha256(size_bytes.to_bytes(8, "little") + sample(file, size_bytes))
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for part in archive.infolist():
                    digest.update(f"{part.filename}:{part.file_size}:{part.CRC};".encode())
    except (OSError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} cannot be read: {error}; download it again") from error
    if size_bytes == 0:
        raise WeightsError(f"{path} is empty; download it again")
    return WeightFile(
        path=str(path),
        name=path.name,
        kind=_kind_by_folder(path),
        size_bytes=size_bytes,
        fingerprint=digest.hexdigest(),
    )


def _kind_by_folder(path: Path) -> WeightKind:
    kinds = {kind.value: kind for kind in WeightKind if kind is not WeightKind.DIFFUSERS}
    found = next((kinds[parent.name] for parent in path.parents if parent.name in kinds), None)
    return found or WeightKind.CHECKPOINT


def _folder(path: Path) -> WeightFile:
    if (path / "model_index.json").is_file():
        return _pipeline(path)
    config = path / "config.json"
    kind = LONE.get(str(_json(config).get("_class_name"))) if config.is_file() else None
    if kind is None:
        raise WeightsError(
            f"{path} is no model in diffusers' layout: it has no model_index.json, and no config.json of "
            f"{' or '.join(LONE)}"
        )
    family, in_channels = None, 4
    if kind in (WeightKind.CONTROLNET, WeightKind.UNET):
        settings = _json(config)
        family = context_family(int(settings.get("cross_attention_dim", 0)))
        in_channels = int(settings.get("in_channels", 4))
    size_bytes, fingerprint = _content(path)
    return WeightFile(
        path=str(path),
        name=path.name,
        kind=kind,
        family=family,
        in_channels=in_channels,
        size_bytes=size_bytes,
        fingerprint=fingerprint,
    )


def _pipeline(path: Path) -> WeightFile:
    index = _json(path / "model_index.json")
    if not (path / "unet" / "config.json").is_file():
        raise WeightsError(
            f"{path} is a {index.get('_class_name', 'model')} without a UNet, so of a family that is not "
            f"known here; known are {', '.join(Family)}"
        )
    unet = _json(path / "unet" / "config.json")
    scheduler = path / "scheduler" / "scheduler_config.json"
    size_bytes, fingerprint = _content(path)
    return WeightFile(
        path=str(path),
        name=path.name,
        kind=WeightKind.DIFFUSERS,
        family=_pipeline_family(index, unet),
        in_channels=int(unet.get("in_channels", 4)),
        prediction_type=str(_json(scheduler).get("prediction_type", "epsilon"))
        if scheduler.is_file()
        else "epsilon",
        size_px=_side_px(unet, path),
        size_bytes=size_bytes,
        fingerprint=fingerprint,
    )


def _pipeline_family(index: dict[str, Any], unet: dict[str, Any]) -> Family:
    if unet.get("addition_embed_type") == "text_time":
        first = index.get("text_encoder") or [None]
        return Family.SDXL if first[0] else Family.SDXL_REFINER
    return Family.SD2 if unet.get("use_linear_projection") else Family.SD1


def _side_px(unet: dict[str, Any], path: Path) -> int | None:
    """Give the side that the UNet was trained at, in pixels: the VAE halves it once less than it has blocks."""
    cells = unet.get("sample_size")
    config = path / "vae" / "config.json"
    widths = _json(config).get("block_out_channels", ()) if config.is_file() else ()
    return cells * 2 ** (len(widths or WIDTHS) - 1) if isinstance(cells, int) else None


def _content(path: Path) -> tuple[int, str]:
    """Give the size of a folder's weights and one digest of them and of all that configures them."""
    digest = hashlib.sha256()
    size_bytes = 0
    for file in sorted(path.rglob("*")):
        if file.suffix in SUFFIXES and file.is_file():
            whole = read_header(file).digest if file.suffix == ".safetensors" else _pickle(file).fingerprint
            size_bytes += file.stat().st_size
            digest.update(f"{file.relative_to(path)}:{whole};".encode())
        elif file.suffix in {".json", ".txt"} and file.stat().st_size <= CONFIG_BYTES:
            digest.update(str(file.relative_to(path)).encode() + file.read_bytes())
    if size_bytes == 0:
        raise WeightsError(f"{path} holds no weights ({', '.join(SUFFIXES)}); copy or download them into it")
    return size_bytes, digest.hexdigest()


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(CONFIG_BYTES)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}; check its permissions") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not JSON: {error}; copy it again from the model's source") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{path} is not a JSON object; copy it again from the model's source")
    return value
