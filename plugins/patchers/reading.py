"""Reads small weight files, pickled ones as data only, and says which file it was that could not be read."""

from __future__ import annotations

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

__all__ = ["read_metadata", "read_values", "tensors_in"]

PICKLED = (b"\x80", b"PK")  # how files of torch.save begin


def read_values(path: Path) -> Mapping[str, Any]:
    """Read what a file holds by name: tensors, and in pickled files plain values too; on the CPU.

    Raises WeightsError naming the file when it is corrupt, or asks to run code.
    """
    import torch
    from safetensors import safe_open

    with _blaming(path):
        if path.suffix.lower() == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        with warnings.catch_warnings():
            # it asks to report what it cannot read; that is done here, by the file's name
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            # torch's unpickler takes tensors and plain values, and refuses whatever else a pickle asks for
            value = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(value, Mapping):
        raise WeightsError(f"{path} holds no tensors by name; download it again")
    nested = value.get("state_dict")
    return nested if isinstance(nested, Mapping) else value


def read_metadata(path: Path) -> Mapping[str, str]:
    """Read what a safetensors file says of itself; nothing for other formats."""
    if path.suffix.lower() != ".safetensors":
        return {}
    from safetensors import safe_open

    with _blaming(path), safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def tensors_in(values: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Leave out what is no tensor."""
    import torch

    return {str(name): value for name, value in values.items() if isinstance(value, torch.Tensor)}


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Turn what libraries raise over a broken file into WeightsError with the file's name."""
    import torch
    from safetensors import SafetensorError

    try:
        yield
    except (torch.OutOfMemoryError, WeightsError):
        raise
    except pickle.UnpicklingError as error:
        if not (asked := _asked(error)) or not path.read_bytes().startswith(PICKLED):
            raise _broken(path, error) from error
        raise WeightsError(
            f"{path} is refused: it holds more than tensors ({asked}), so it could run code of its own; "
            "nothing of it was run. Use a .safetensors file of the same"
        ) from error
    except (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SafetensorError,
            TypeError, ValueError, struct.error, zipfile.BadZipFile) as error:  # fmt: skip
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> WeightsError:
    said = str(error).strip().splitlines() or [type(error).__name__]
    # torch's words over a pickle that makes no sense advise to load it without care
    first = "it is no whole pickle of tensors" if isinstance(error, pickle.UnpicklingError) else said[0]
    return WeightsError(f"{path} cannot be loaded: {first}; download or convert it again")


def _asked(error: pickle.UnpicklingError) -> str:
    """Say what a pickle asked for beside tensors, from torch's long message; nothing if it is only broken."""
    found = re.search(r"GLOBAL ([\w.]+)|Unsupported (?:global|class|operand)[^.\n]*", str(error))
    return f"it asks for {found[1] or found[0]}" if found else ""
