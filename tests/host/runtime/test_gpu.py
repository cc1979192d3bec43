from __future__ import annotations

import types
from typing import Any, Never

import pynvml
import pytest
from stretto.host.runtime.gpu import gpu_snapshot

MIB = 2**20


@pytest.fixture
def card(monkeypatch: Any) -> Any:
    """NVML's answers, as a card on a bench would give them; the library itself is not here."""
    asked = []

    def handle(index: Any) -> str:
        asked.append(index)
        return "card"

    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: asked.append("shutdown"),
        "nvmlDeviceGetHandleByIndex": handle,
        "nvmlDeviceGetHandleByUUID": handle,
        "nvmlDeviceGetMemoryInfo": lambda _: types.SimpleNamespace(
            free=6 * 1024 * MIB, used=2 * 1024 * MIB, total=8 * 1024 * MIB
        ),
        "nvmlDeviceGetUtilizationRates": lambda _: types.SimpleNamespace(gpu=37),
        "nvmlDeviceGetTemperature": lambda *_: 54,
        "nvmlDeviceGetName": lambda _: b"Card 9",
        "nvmlSystemGetDriverVersion": lambda: "580.1",
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    return asked


def test_none_without_a_driver(monkeypatch: Any) -> None:
    def absent() -> Never:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
    assert gpu_snapshot() is None


def test_contract_shape(card: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_snapshot() == {
        "driver": "580.1",
        "name": "Card 9",
        "load": 0.37,
        "temp": 54,
        "memory": {"free": 6144, "total": 8192, "used": 2048, "util": 0.25},
    }
    assert card == [0, "shutdown"]


@pytest.mark.parametrize(("visible", "asked"), [("2,3", 2), ("GPU-8f", "GPU-8f"), ("", 0)])
def test_the_first_visible_card(card: Any, monkeypatch: Any, visible: Any, asked: Any) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpu_snapshot()
    assert card[0] == asked


def test_what_a_card_refuses_is_null(card: Any, monkeypatch: Any) -> None:
    def refused(*_: Any) -> Never:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetTemperature", refused)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", refused)
    snapshot = gpu_snapshot()
    assert (snapshot["load"], snapshot["temp"], snapshot["memory"]["total"]) == (None, None, 8192)


def test_a_card_that_falls_off_the_bus_is_none(card: Any, monkeypatch: Any) -> None:
    def lost(*_: Any) -> Never:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lost)
    assert gpu_snapshot() is None
    assert card[-1] == "shutdown"
