"""What the graphics card is and does, by NVML, in the contract's shape; None where there is none."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["compute_capability", "gpu_snapshot"]

T = TypeVar("T")

_MIB = 2**20


def gpu_snapshot() -> dict[str, object] | None:
    """Read `{driver, name, load 0-1, temp, memory {free, total, used in MiB, util 0-1}}`.

    The card is the first that CUDA_VISIBLE_DEVICES leaves visible; None without driver or card.
    """
    return _asked(_read)


def compute_capability() -> tuple[int, int] | None:
    """Read the card's compute capability, (8, 9) for sm89; None without driver or card."""
    return _asked(lambda nvml, card: tuple(nvml.nvmlDeviceGetCudaComputeCapability(card)))


def _asked(read: Callable[[Any, Any], T]) -> T | None:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        return read(pynvml, _visible_card(pynvml))
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def _visible_card(nvml: Any) -> Any:
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if first.startswith(("GPU-", "MIG-")):
        return nvml.nvmlDeviceGetHandleByUUID(first)
    return nvml.nvmlDeviceGetHandleByIndex(int(first) if first.isdecimal() else 0)


def _read(nvml: Any, card: Any) -> dict[str, object]:
    memory = nvml.nvmlDeviceGetMemoryInfo(card)
    used, total = int(memory.used), int(memory.total)
    return {
        "driver": _text(nvml.nvmlSystemGetDriverVersion()),
        "name": _text(nvml.nvmlDeviceGetName(card)),
        "load": _or_none(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(card).gpu / 100),
        "temp": _or_none(nvml, lambda: nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU)),
        "memory": {
            "free": int(memory.free) // _MIB,
            "total": total // _MIB,
            "used": used // _MIB,
            "util": round(used / total, 4) if total else 0.0,
        },
    }


def _or_none(nvml: Any, read: Any) -> Any:
    # Virtual and MIG devices have memory figures but refuse load or temperature.
    try:
        return read()
    except nvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
