"""Reads tensors and settings from files, and turns whatever is wrong with them into WeightsError."""

from __future__ import annotations

import json
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import WeightsError

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

__all__ = ["blaming", "read_json", "read_tensors", "weight_files"]

STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
VARIANTS = ("", ".fp16", ".bf16")
FORMATS = (".safetensors", ".bin")
# What trainers left in old checkpoints beside the tensors: read as nothing, so that no code of theirs runs.
IGNORED = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "pytorch_lightning.utilities.types.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
)


class Nothing:
    """Stands for an object that is not a tensor; takes any arguments and any state, and keeps none."""

    def __init__(self, *_args: object, **_values: object) -> None: ...

    def __setstate__(self, _state: object) -> None: ...


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Turn what libraries raise over a broken file into WeightsError with the file's name."""
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        yield
    except (torch.OutOfMemoryError, WeightsError):
        raise
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path} is refused: {_reason(error)}") from error
    except (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SafetensorError,
            StrictDataclassError, TypeError, ValueError, struct.error, zipfile.BadZipFile) as error:  # fmt: skip
        if "DefaultCPUAllocator" in str(error):  # no fault of the file's
            raise
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise WeightsError(f"{path} cannot be loaded: {first[0]}; download or convert it again") from error


def read_tensors(path: Path) -> Tensors:
    """Read all tensors of a .safetensors, or of a pickled file as data only; CPU, mapped where that can be."""
    with blaming(path):
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        return _unpickled(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises WeightsError."""
    with blaming(path):
        value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise WeightsError(f"{path} is not a JSON object; copy it again from the model's source")
    return value


def weight_files(folder: Path) -> list[Path]:
    """Find the weights of one network: a file or the shards of an index, safetensors and 32 bits first."""
    for form in FORMATS:
        for variant in VARIANTS:
            for stem in STEMS:
                whole = folder / f"{stem}{variant}{form}"
                if whole.is_file():
                    return [whole]
                index = folder / f"{stem}{form}.index{variant}.json"
                if index.is_file():
                    return _shards(index)
    raise WeightsError(
        f"{folder} holds no weights; expected {STEMS[0]}.safetensors or {STEMS[1]}.safetensors, or an index of parts"
    )


def _shards(index: Path) -> list[Path]:
    with blaming(index):
        names = sorted(set(read_json(index)["weight_map"].values()))
    if any(Path(name).name != name for name in names):
        raise WeightsError(
            f"{index} names files outside of its folder; copy it again from the model's source"
        )
    return [index.parent / name for name in names]


def _unpickled(path: Path) -> Tensors:
    import torch

    stubs: list[Any] = [(Nothing, name) for name in IGNORED]
    with torch.serialization.safe_globals(stubs), warnings.catch_warnings():
        # it asks to report what it cannot read; we do so, by the file's name
        warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
        # torch's unpickler takes tensors and plain values, and refuses whatever else a pickle asks for
        value = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    while isinstance(value, Mapping) and isinstance(value.get("state_dict"), Mapping):
        value = value["state_dict"]
    items = value.items() if isinstance(value, Mapping) else ()
    tensors = {str(key): item for key, item in items if isinstance(item, torch.Tensor)}
    if not tensors:
        raise WeightsError(f"{path} holds no tensors; download it again")
    return tensors


def _reason(error: pickle.UnpicklingError) -> str:
    """Say what a pickle asked for, from torch's long message, whose advice is to load it without care."""
    asked = re.search(r"GLOBAL ([\w.]+)|Unsupported (?:global|class|operand)[^.\n]*", str(error))
    if asked is None:
        return "it is no whole pickle of tensors; download or convert it again"
    what = f"it asks for {asked[1] or asked[0]}"
    return (
        f"it holds more than tensors ({what}), so it could run code of its own; nothing of it was run. "
        "Use a .safetensors file of the same model"
    )
