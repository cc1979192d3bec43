"""Devices, number formats, and running out of memory."""

from __future__ import annotations

import pytest
import torch
from stretto.host.contracts.models import Precision
from stretto.host.engine.device import dtype_of, out_of_memory_said, pick_device, pick_precision
from stretto.host.errors import ConfigurationError, OutOfMemoryError


def test_some_device_is_always_there():
    assert pick_device() in ("cuda", "mps", "cpu")
    assert pick_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["tpu", "cuda:99", "cpu:x", "cpu:1"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(ConfigurationError, match=name):
        pick_device(name)


@pytest.mark.parametrize(
    ("unit", "expected"), [("avx512_bf16", "bfloat16"), ("amx_bf16", "bfloat16"), ("avx2", "float32")]
)
def test_a_cpu_computes_in_bfloat16_where_it_can(monkeypatch, unit, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {unit: True})
    assert pick_precision(None, "cpu") == expected


def test_precision_is_what_was_asked_for_else_half_on_an_accelerator():
    assert pick_precision(Precision.FLOAT32, "cuda") is Precision.FLOAT32
    assert pick_precision(None, "cuda:0") is Precision.FLOAT16


def test_every_precision_has_a_torch_type():
    assert [dtype_of(precision) for precision in Precision] == [torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_running_out_of_memory_becomes_advice(error):
    with (
        pytest.raises(OutOfMemoryError, match=r"while drawing 9 pictures.*chunking_size"),
        out_of_memory_said("drawing 9 pictures"),
    ):
        raise error


def test_a_real_allocation_that_fails_becomes_advice():
    with pytest.raises(OutOfMemoryError), out_of_memory_said("asking for too much"):
        torch.empty(2**60, dtype=torch.uint8)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory_said("adding"):
        raise RuntimeError("shapes differ")
