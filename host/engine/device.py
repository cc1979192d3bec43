"""Where to compute and in which number format, and what to say when the device is full."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..contracts.models import Precision
from ..errors import ConfigurationError, OutOfMemoryError

__all__ = [
    "dtype_of",
    "free_cache",
    "is_out_of_memory",
    "out_of_memory_said",
    "pick_device",
    "pick_precision",
]

_DTYPES = {
    Precision.FLOAT32: torch.float32,
    Precision.FLOAT16: torch.float16,
    Precision.BFLOAT16: torch.bfloat16,
}
_ADVICE = (
    "ask for a smaller width and height or fewer samples, set chunking_size so that windows of the "
    "model's size are drawn one after another, or set the setting precision to float16 or bfloat16"
)


def pick_device(name: str | None = None) -> str:
    """Give the device to compute on: `name` if it is there, else CUDA, MPS or CPU, whichever comes first.

    Raises ConfigurationError when `name` is not a device of this machine.
    """
    if name is None:
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = name.partition(":")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    number = int(index) if index.isdigit() else 0
    if kind not in counts or number >= counts[kind] or (index and not index.isdigit()):
        there = ", ".join(known for known, count in counts.items() if count)
        raise ConfigurationError(f"There is no device '{name}' on this machine; it has: {there}.")
    return name


def pick_precision(asked: Precision | None, device: str) -> Precision:
    """Give what was asked for, else the fastest format that the device computes in natively."""
    if asked is not None:
        return asked
    if device != "cpu":
        return Precision.FLOAT16
    able = torch.cpu.get_capabilities()
    native = any(able.get(unit) for unit in ("avx512_bf16", "amx_tile", "amx_bf16", "bf16"))
    return Precision.BFLOAT16 if native else Precision.FLOAT32


def dtype_of(precision: Precision) -> torch.dtype:
    """Give torch's name for a precision."""
    return _DTYPES[precision]


def free_cache() -> None:
    """Give memory that torch holds but does not use back to the devices, and what the heap holds to the system."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # glibc alone has it, see malloc_trim(3)
        trim(0)


@contextmanager
def out_of_memory_said(doing: str) -> Iterator[None]:
    """Turn torch's several ways to run out of memory into one OutOfMemoryError with advice."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        free_cache()
        raise OutOfMemoryError(f"The device ran out of memory while {doing}: {_ADVICE}.") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error, torch's or ours, is that of a full device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError | OutOfMemoryError):
        return True
    # the CPU allocator and MPS raise plain RuntimeErrors
    text = str(error)
    # oneDNN says no more than this when it cannot allocate
    return any(
        words in text for words in ("DefaultCPUAllocator", "out of memory", "could not create a primitive")
    )
