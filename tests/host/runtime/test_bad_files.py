"""Weight files that are cut, of another family, or evil: each is named in the error, and one worker outlives them all."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.ports import JobStatus
from stretto.host.contracts.request import Adapter, InvocationRequest
from stretto.host.errors import StrettoError
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.adapters import LoraForm, make_inversion, make_lora
from stretto.host.testing.controls import make_tiny_controlnet
from stretto.host.testing.networks import make_tiny_esrgan
from stretto.host.testing.tiny import make_ldm_checkpoint

GOOD: dict[str, Any] = {
    "model": "good", "prompt": "a red circle", "num_inference_steps": 1, "seed": 1, "width": 64, "height": 64,
    "intermediates": False, "scheduler": "ddim",
}  # fmt: skip


@dataclass
class Shop:
    """A host with its worker, the folders of its weights, and good weights to spoil."""

    host: Host
    store: Any
    models: Path
    good: dict[str, Path]
    marker: Path  # an evil file would make it
    worker: int = 0

    def place(self, kind: str, name: str) -> Path:
        return self.models / kind / name

    def draw(self, **asked: Any) -> str | None:
        """Draw; gives what the caller is told when it fails, and None when it does not."""
        try:
            plan = self.host.plan(InvocationRequest(**{**GOOD, **asked}))
        except StrettoError as error:
            return str(error)
        kept = self.store.until(self.host.submit(plan).uuid)
        assert kept.attempts == 1  # nobody died of it
        return None if kept.status is JobStatus.COMPLETED else str(kept.error)


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: Any, tiny_sd1: Path, tiny_sdxl: Path, store_of: Callable[[], Any]
) -> Iterator[Shop]:
    root = tmp_path_factory.mktemp("shop")
    folders = Folders(root / "data")
    folders.create()
    shutil.copytree(tiny_sd1, folders.model_folder("diffusers") / "good")
    good = {
        "checkpoint": make_ldm_checkpoint(tiny_sd1, root / "good.safetensors"),
        "lora": make_lora(tiny_sd1, root / "lora.safetensors", LoraForm()),
        "lora of sdxl": make_lora(tiny_sdxl, root / "xl.safetensors", LoraForm()),
        "inversion": make_inversion(root / "inversion.pt", (64,)),
        "inversion of sdxl": make_inversion(root / "two.safetensors", (64, 128)),
        "controlnet": make_tiny_controlnet(root / "controlnet", tiny_sd1),
        "controlnet of sdxl": make_tiny_controlnet(root / "xl-controlnet", tiny_sdxl),
        "upscaler": make_tiny_esrgan(root / "esrgan.pth"),
        "vae": tiny_sd1 / "vae" / "diffusion_pytorch_model.safetensors",
        "model": tiny_sd1,
    }
    store = store_of()
    with Host.open(folders, Settings(precision="float32"), store=store) as host:
        host.start()
        made = Shop(host=host, store=store, models=folders.models, good=good, marker=root / "marker")
        assert made.draw() is None
        made.worker = host.worker_pid
        yield made


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def cut(shop: Shop, good: str, kind: str, name: str) -> Path:
    """Leave the first half of a good file."""
    path = shop.place(kind, name)
    whole = shop.good[good].read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def evil(shop: Shop, _good: str, kind: str, name: str) -> Path:
    """Write what torch.load would run in older versions."""
    path = shop.place(kind, name)
    torch.save({"state_dict": {"a": torch.zeros(2), "b": Evil(shop.marker)}}, path)
    return path


def evil_pickle(shop: Shop, _good: str, kind: str, name: str) -> Path:
    path = shop.place(kind, name)
    path.write_bytes(pickle.dumps(Evil(shop.marker)))
    return path


def noise(shop: Shop, _good: str, kind: str, name: str) -> Path:
    path = shop.place(kind, name)
    path.write_bytes(bytes(range(256)) * 40)
    return path


def copied(shop: Shop, good: str, kind: str, name: str) -> Path:
    """Put a good file where it does not belong."""
    path, source = shop.place(kind, name), shop.good[good]
    return Path(shutil.copytree(source, path) if source.is_dir() else shutil.copy(source, path))


def lacking(shop: Shop, good: str, kind: str, name: str) -> Path:
    """Leave out every VAE, as some checkpoints do, and a tensor of the UNet."""
    path = shop.place(kind, name)
    tensors = load_file(shop.good[good])
    dropped = next(key for key in tensors if key.endswith("attn2.to_k.weight"))
    save_file({key: value for key, value in tensors.items() if key != dropped}, path)
    shutil.copytree(shop.good[good].with_suffix(".config"), path.with_suffix(".config"))
    return path


def half_folder(shop: Shop, good: str, kind: str, name: str) -> Path:
    """Copy a folder and cut its largest file."""
    path = copied(shop, good, kind, name)
    large = max((file for file in path.rglob("*.safetensors")), key=lambda file: file.stat().st_size)
    large.write_bytes(large.read_bytes()[:-1000])
    return path


def other_settings(shop: Shop, good: str, kind: str, name: str) -> Path:
    """Copy a folder and make its UNet's settings those of a wider one."""
    path = copied(shop, good, kind, name)
    config = path / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "block_out_channels": [64, 128]}))
    return path


def controlled(name: str) -> dict[str, Any]:
    return {"controlnet": name, "process_control_image": False}


def learnt(name: str) -> tuple[Adapter, ...]:
    return (Adapter(model=name),)


# what is done to which good file, where it goes, how it is asked for, and what is said beside its name
CASES: dict[str, tuple[Callable[..., Path], str, str, str, Callable[[str], dict[str, Any]], str]] = {
    "cut checkpoint": (cut, "checkpoint", "checkpoint", "half.safetensors", lambda n: {"model": n}, "not a whole"),
    "cut pickled checkpoint": (cut, "inversion", "checkpoint", "half.ckpt", lambda n: {"model": n}, "cannot be"),
    "evil checkpoint": (evil, "", "checkpoint", "evil.ckpt", lambda n: {"model": n}, "nothing of it was run"),
    "checkpoint with a tensor less": (
        lacking, "checkpoint", "checkpoint", "less.safetensors", lambda n: {"model": n}, "lacks",
    ),
    "checkpoint of noise": (noise, "", "checkpoint", "noise.safetensors", lambda n: {"model": n}, "not a"),
    "cut folder": (half_folder, "model", "diffusers", "half", lambda n: {"model": n}, "not a whole"),
    "folder with other settings": (other_settings, "model", "diffusers", "odd", lambda n: {"model": n}, "shape"),
    "cut LoRA": (cut, "lora", "lora", "half.safetensors", lambda n: {"lora": learnt(n)}, "not a whole"),
    "evil LoRA": (evil, "", "lora", "evil.pt", lambda n: {"lora": learnt(n)}, "nothing of it was run"),
    "LoRA of SDXL": (copied, "lora of sdxl", "lora", "xl.safetensors", lambda n: {"lora": learnt(n)}, "is for"),
    "evil LyCORIS": (evil, "", "lycoris", "evil.pt", lambda n: {"lycoris": learnt(n)}, "nothing of it was run"),
    "cut inversion": (cut, "inversion", "inversion", "half.pt", lambda n: {"inversion": learnt(n)}, "cannot be"),
    "evil inversion": (evil, "", "inversion", "evil.pt", lambda n: {"inversion": learnt(n)}, "nothing of it"),
    "inversion of SDXL": (
        copied, "inversion of sdxl", "inversion", "two.safetensors", lambda n: {"inversion": learnt(n)}, "is for",
    ),
    "cut VAE": (cut, "vae", "vae", "half.safetensors", lambda n: {"vae": n}, "not a whole"),
    "evil VAE": (evil, "", "vae", "evil.pt", lambda n: {"vae": n}, "nothing of it was run"),
    "LoRA for a VAE": (copied, "lora", "vae", "lora.safetensors", lambda n: {"vae": n}, "is no VAE"),
    "cut ControlNet": (half_folder, "controlnet", "controlnet", "half", controlled, "not a whole"),
    "evil ControlNet": (evil, "", "controlnet", "evil.pth", controlled, "nothing of it was run"),
    "ControlNet of SDXL": (copied, "controlnet of sdxl", "controlnet", "xl", controlled, "is made for a UNet with"),
    "cut upscaler": (cut, "upscaler", "upscaler", "half.pth", lambda n: {"upscale": (n,), "outscale": 2}, ""),
    "evil upscaler": (
        evil_pickle, "", "upscaler", "evil.pth", lambda n: {"upscale": (n,), "outscale": 2}, "more than tensors",
    ),
    "LoRA for an upscaler": (
        copied, "lora", "upscaler", "lora.safetensors", lambda n: {"upscale": (n,), "outscale": 2}, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_is_named_and_the_worker_goes_on(shop: Shop, name: str, tmp_path: Path) -> None:
    spoil, good, kind, file, asked, told = CASES[name]
    path = spoil(shop, good, kind, file)
    request = asked(file)
    if "controlnet" in request:
        Image.new("RGB", (64, 64), "white").save(tmp_path / "control.png")
        at = str(tmp_path / "control.png")
        request["control_image"] = ImageRef(path=at, width=64, height=64, mode="RGB", sha256="0" * 64)
    said = shop.draw(**request)
    assert said is not None
    assert path.name in said
    assert told in said
    assert "Traceback" not in said
    assert not shop.marker.exists()
    assert shop.draw() is None
    assert shop.host.worker_pid == shop.worker
