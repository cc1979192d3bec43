from __future__ import annotations

import pickle
import random
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from stretto.host.errors import WeightsError
from stretto.plugins.loaders.reading import read_tensors


class Bomb:
    """What runs when a pickle of it is loaded without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (exec, (f"open({str(self.target)!r}, 'w')",))


@pytest.mark.parametrize("name", ["bomb.ckpt", "bomb.pt", "bomb.bin", "bomb.pth"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_bomb_is_refused_and_does_nothing(name: str, zipped: bool, tmp_path: Path) -> None:
    import torch

    crater = tmp_path / "crater"
    value = {"state_dict": {"x": torch.zeros(2)}, "callbacks": Bomb(crater)}
    torch.save(value, tmp_path / name, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="could run code of its own; nothing of it was run") as caught:
        read_tensors(tmp_path / name)
    assert name in str(caught.value)
    assert not crater.exists()


def test_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.ckpt"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "crater")))
    with pytest.raises(WeightsError, match="bomb"):
        read_tensors(path)
    assert not (tmp_path / "crater").exists()


def test_a_lightning_checkpoint_is_read_without_its_callbacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    import torch

    name = "pytorch_lightning.callbacks.model_checkpoint"
    callback = type("ModelCheckpoint", (), {"__module__": name})
    module = types.ModuleType(name)
    module.ModelCheckpoint = callback  # type: ignore[attr-defined]  # a stand-in for the package
    for part in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    monkeypatch.setitem(sys.modules, name, module)
    instance = callback()
    instance.best = 3
    value = {
        "state_dict": {"x": torch.arange(3)},
        "callbacks": {callback: {"best_model_score": np.float64(0.5), "itself": instance}},
        "sizes": np.arange(4),
    }
    torch.save(value, tmp_path / "trained.ckpt")
    for part in (name, "pytorch_lightning.callbacks", "pytorch_lightning"):
        monkeypatch.delitem(sys.modules, part)
    tensors = read_tensors(tmp_path / "trained.ckpt")
    assert list(tensors) == ["x"]
    assert tensors["x"].tolist() == [0, 1, 2]
    assert name not in sys.modules


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_both_of_torchs_formats_are_read(zipped: bool, nested: bool, tmp_path: Path) -> None:
    import torch

    tensors = {"x": torch.arange(6.0), "n": torch.tensor(3)}
    value: dict[str, Any] = {"state_dict": tensors, "epoch": 3} if nested else tensors
    torch.save(value, tmp_path / "model.ckpt", _use_new_zipfile_serialization=zipped)
    found = read_tensors(tmp_path / "model.ckpt")
    assert found.keys() == tensors.keys()
    assert torch.equal(found["x"], tensors["x"])


def test_other_checkpoints_later_stay_as_safe_as_before(tmp_path: Path) -> None:
    """What is let through for one file is not left open for code elsewhere in the process."""
    import torch

    torch.save({"x": torch.zeros(2)}, tmp_path / "a.ckpt")
    before = set(torch.serialization.get_safe_globals())  # torch gives them in no certain order
    read_tensors(tmp_path / "a.ckpt")
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not a zip", b"\x80\x02garbage", b"text", b"\x00" * 4096])
def test_a_broken_pickle_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.ckpt"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"broken\.ckpt"):
        read_tensors(path)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    torch.save({"x": torch.zeros(4096)}, tmp_path / "a.ckpt")
    save_file({"x": torch.zeros(4096)}, tmp_path / "a.safetensors")
    for name in ("a.ckpt", "a.safetensors"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:8000])
        with pytest.raises(WeightsError, match=name):
            read_tensors(path)


def test_a_file_without_tensors_is_named(tmp_path: Path) -> None:
    import torch

    torch.save({"epoch": 3}, tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match="holds no tensors"):
        read_tensors(tmp_path / "a.ckpt")
    torch.save([1, 2], tmp_path / "b.ckpt")
    with pytest.raises(WeightsError, match=r"b\.ckpt"):
        read_tensors(tmp_path / "b.ckpt")


@pytest.mark.parametrize(
    "data", [b"\x80\x02garbage" * 30, b"\x80\x02}q\x00X\x01", b"\x80\x04\x95garbage", b"<html>"]
)
def test_nobody_is_advised_to_load_a_pickle_without_care(data: bytes, tmp_path: Path) -> None:
    from stretto.plugins.patchers import reading

    path = tmp_path / "noise.pt"
    path.write_bytes(data)
    for read in (read_tensors, reading.read_values):
        with pytest.raises(WeightsError, match=r"noise\.pt") as caught:
            read(path)
        assert "weights_only" not in str(caught.value)
        assert "options" not in str(caught.value)


def _damaged(throw: random.Random, whole: bytes) -> bytes:
    data = bytearray(whole)
    for _ in range(throw.randint(1, 6)):
        if throw.random() < 0.5:
            data[throw.randrange(len(data))] = throw.randrange(256)
        else:
            del data[throw.randrange(1, len(data) + 1) :]
    return bytes(data)


def test_whatever_is_in_a_file_is_read_or_told(tmp_path: Path) -> None:
    import torch
    from stretto.plugins.patchers import reading

    throw, path = random.Random(20261123), tmp_path / "noise.pt"
    torch.manual_seed(0)
    value = {"state_dict": {"a": torch.randn(4, 4), "b": torch.zeros(3, dtype=torch.half)}}
    told = 0
    for zipped in (True, False):
        torch.save(value, path, _use_new_zipfile_serialization=zipped)
        whole = path.read_bytes()
        for _ in range(300):
            path.write_bytes(_damaged(throw, whole))
            for read in (read_tensors, reading.read_values):
                try:
                    read(path)
                except WeightsError as error:
                    assert "noise.pt" in str(error)  # noqa: PT017 - it is read or told
                    told += 1
    assert told > 600
