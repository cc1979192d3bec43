"""Engines for other GPUs are known by their target alone."""

from __future__ import annotations

import pynvml
import pytest
from stretto.host.runtime.targets import foreign


@pytest.fixture
def card(monkeypatch):
    """NVML's answers of a card of sm120; the library itself is not here."""
    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda _: "card",
        "nvmlDeviceGetCudaComputeCapability": lambda _: [12, 0],
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_what_is_for_no_gpu_is_for_this_machine():
    assert foreign("cpu") is None


def test_without_a_card_every_gpu_is_foreign(monkeypatch):
    def absent():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
    assert foreign("sm89") == "it is for GPUs of sm89, and there is none here"


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(("target", "said"), [
    ("sm120", None), ("sm_120", None), ("sm89", "it is for GPUs of sm89, and the one here is sm120"),
])  # fmt: skip
def test_a_card_runs_what_is_for_it(target, said):
    assert foreign(target) == said
