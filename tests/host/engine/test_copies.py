"""Copies of checkpoints in diffusers' format: what they are made of, and that nothing is lost in them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from stretto.host.contracts.models import Precision
from stretto.host.contracts.request import InvocationRequest
from stretto.host.engine.components import networks
from stretto.host.engine.copies import MANIFEST
from stretto.host.runtime.host import Host
from stretto.host.runtime.machine import Machine
from stretto.host.settings import Folders, Settings
from stretto.host.testing.tiny import make_ldm_checkpoint


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path / "data")
    made.create()
    return made


@contextmanager
def opened(folders: Folders, mode: str | None, model: str = "one.safetensors") -> Iterator[Any]:
    """Give `load(**spec)`, which loads through a new machine, and what was noted of it."""
    settings = Settings(cache_mode=mode, model=model, precision="float32")
    notes: list[str] = []
    with Host.open(folders, settings) as host, Machine.open(host) as machine:
        spec = replace(
            host.plan(InvocationRequest(prompt="x", num_inference_steps=1)).base(),
            precision=Precision.FLOAT32,
        )

        def load(**changes: Any) -> Any:
            return machine.given(replace(spec, **changes), notes.append)

        yield SimpleNamespace(load=load, notes=notes, host=host)


def kept(folders: Folders) -> list[Path]:
    return sorted(folders.copies.iterdir()) if folders.copies.is_dir() else []


@pytest.mark.parametrize("family", ["tiny_sd1", "tiny_sd2", "tiny_sdxl"])
def test_a_copy_is_the_same_model_to_the_bit(folders, request, family):
    make_ldm_checkpoint(
        request.getfixturevalue(family), folders.model_folder("checkpoint") / "one.safetensors"
    )
    with opened(folders, "always") as first:
        original = first.load()
        assert "a copy of" in first.notes[0]
        assert "kept in" in first.notes[0]
    (copy,) = kept(folders)
    with opened(folders, "always") as again:
        loaded = again.load()
        assert not again.notes
    assert loaded.spec == original.spec
    assert dict(loaded.scheduler_config) == dict(original.scheduler_config)
    assert dict(loaded.options) == dict(original.options)
    for ours, theirs in zip(networks(loaded), networks(original), strict=True):
        before, after = theirs.state_dict(), ours.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
    words = "a red circle, naïve"
    for ours, theirs in zip(loaded.tokenizers, original.tokenizers, strict=True):
        assert ours(words, padding="max_length").input_ids == theirs(words, padding="max_length").input_ids
    assert kept(folders) == [copy]


@pytest.mark.parametrize(
    ("mode", "family", "copies"), [("xl", "tiny_sd1", 0), ("xl", "tiny_sdxl", 1), (None, "tiny_sdxl", 0)]
)
def test_the_mode_says_which_models_have_copies(folders, request, mode, family, copies):
    make_ldm_checkpoint(
        request.getfixturevalue(family), folders.model_folder("checkpoint") / "one.safetensors"
    )
    with opened(folders, mode) as one:
        one.load()
    assert len(kept(folders)) == copies


@pytest.fixture
def checkpoint(folders: Folders, tiny_sd1: Path) -> Path:
    return make_ldm_checkpoint(tiny_sd1, folders.model_folder("checkpoint") / "one.safetensors")


def test_other_formats_and_other_settings_are_other_copies(folders, checkpoint):
    with opened(folders, "always") as one:
        one.load()
        one.load(precision=Precision.BFLOAT16)
    assert len(kept(folders)) == 2
    config = checkpoint.with_suffix(".config") / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "beta_end": 0.013}))
    with opened(folders, "always") as one:
        assert one.load().scheduler_config["beta_end"] == 0.013
    assert len(kept(folders)) == 3


def test_a_broken_copy_is_made_anew(folders, checkpoint):
    with opened(folders, "always") as one:
        one.load()
    weights = kept(folders)[0] / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.stat().st_size
    os.truncate(weights, 100)
    with opened(folders, "always") as one:
        one.load()
        assert "cannot be used" in one.notes[0]
        assert "kept in" in one.notes[1]
    assert weights.stat().st_size == whole


def test_what_is_stale_or_unfinished_is_swept(folders, checkpoint):
    with opened(folders, "always") as one:
        one.load()
    (copy,) = kept(folders)
    (folders.copies / f"{'a' * 32}.999999999.building").mkdir()
    mine = folders.copies / f"{'b' * 32}.{os.getpid()}.building"
    mine.mkdir()
    (folders.copies / ("c" * 32)).mkdir()  # without a manifest
    with opened(folders, None):
        pass
    assert kept(folders) == [*sorted([copy, mine])]
    os.utime(checkpoint, ns=(1, 1))
    with opened(folders, None):
        pass
    assert kept(folders) == [mine]


def test_a_copy_whose_file_is_gone_goes_too(folders, checkpoint, tiny_sd1):
    with opened(folders, "always") as one:
        one.load()
    manifest = json.loads((kept(folders)[0] / MANIFEST).read_text())
    assert manifest["source"]["path"] == str(checkpoint)
    checkpoint.unlink()
    with Host.open(folders, Settings()) as host, Machine.open(host):
        assert kept(folders) == []


def test_a_full_disk_is_told_and_the_model_is_there(folders, checkpoint, monkeypatch):
    from stretto.host.engine import copies

    monkeypatch.setattr(copies, "SPARE_BYTES", 2**60)
    with opened(folders, "always") as one:
        assert one.load().unet is not None
        assert "not kept: there is too little room" in one.notes[0]
    assert kept(folders) == []
