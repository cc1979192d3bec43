"""Names of LoRA, LyCORIS and inversions, found over a real library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from stretto.host.catalog.library import Library
from stretto.host.contracts.models import Family, Role, WeightKind
from stretto.host.contracts.plan import Plan
from stretto.host.contracts.request import Adapter, InvocationRequest
from stretto.host.planning.adapters import resolve_patches
from stretto.host.settings import Folders

LAYER = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"


@pytest.fixture
def host(tmp_path: Path) -> Any:
    """Give what resolves names over a folder with a file or two of each kind."""
    folders = Folders(tmp_path)
    folders.create()

    def put(place: str, **tensors: torch.Tensor) -> None:
        save_file({name.replace("__", "."): value for name, value in tensors.items()}, folders.models / place)

    for place, width in (("lora/style.safetensors", 768), ("lora/big.safetensors", 2048)):
        down, up = torch.zeros(4, width), torch.zeros(320, 4)
        put(place, **{f"{LAYER}__lora_down__weight": down, f"{LAYER}__lora_up__weight": up})
    put("lycoris/hada.safetensors", **{f"{LAYER}__hada_w1_a": torch.zeros(4, 4)})
    put("inversion/word.safetensors", emb_params=torch.zeros(2, 768))
    put("lora/word.safetensors", emb_params=torch.zeros(2, 768))
    (folders.models / "lora" / "cut.safetensors").write_bytes(b"\x10")
    library = Library(folders, {})

    class View:
        def resolve_model(self, name: str, *, kinds: Any = ()) -> Any:
            return library.resolve(name, kinds)

    return View()


def resolved(host: Any, family: Family | None = Family.SD1, **asked: Any) -> tuple[Any, dict[str, str]]:
    faults: dict[str, str] = {}
    request = InvocationRequest(
        **{
            kind: tuple(Adapter(model=one) if isinstance(one, str) else one for one in files)
            for kind, files in asked.items()
        }
    )
    return resolve_patches(request, host, family, faults.__setitem__), faults


def test_each_kind_in_its_folder_and_in_order(host: Any) -> None:
    patches, faults = resolved(
        host,
        inversion=["word"],
        lycoris=["hada.safetensors"],
        lora=[Adapter(model="style", weight=0.5), "style.safetensors"],
    )
    assert not faults
    assert [(patch.kind, patch.file.name, patch.weight) for patch in patches] == [
        ("lora", "style.safetensors", 0.5),
        ("lora", "style.safetensors", 1.0),
        ("lycoris", "hada.safetensors", 1.0),
        ("inversion", "word.safetensors", 1.0),
    ]
    assert all(len(patch.file.fingerprint) == 64 for patch in patches)


def test_what_lies_in_the_folder_decides_not_the_parameter(host: Any) -> None:
    """People put one where the other belongs."""
    patches, faults = resolved(host, lora=["lycoris/hada.safetensors"])
    assert not faults
    assert patches[0].kind is WeightKind.LYCORIS


def test_faults_have_their_places(host: Any) -> None:
    patches, faults = resolved(
        host,
        lora=["style", "styel.safetensors", "big", "word", "../../etc/passwd"],
        inversion=[Adapter(model="word", weight=0.5)],
    )
    assert [patch.file.name for patch in patches] == ["style.safetensors", "word.safetensors"]
    assert list(faults) == [
        "lora[1].model", "lora[2].model", "lora[3].model", "lora[4].model", "inversion[0].weight",
    ]  # fmt: skip
    assert "did you mean 'style.safetensors'?" in faults["lora[1].model"]
    assert "is for sdxl, and the model is sd1" in faults["lora[2].model"]
    assert "of the kind 'inversion'" in faults["lora[3].model"]
    assert "Cannot find" in faults["lora[4].model"]
    assert "(word:0.8)" in faults["inversion[0].weight"]


def test_a_model_of_unknown_family_is_left_to_the_patcher(host: Any) -> None:
    patches, faults = resolved(host, None, lora=["big"])
    assert not faults
    assert patches[0].file.family is Family.SDXL


def test_a_broken_file_is_named(host: Any) -> None:
    patches, faults = resolved(host, lora=["cut"])
    assert patches == ()
    assert "cut.safetensors is not a whole safetensors file" in str(faults)


def test_base_and_inpainter_are_changed_and_the_refiner_is_not(host: Any) -> None:
    patches, _ = resolved(host, lora=["style"])
    weights = patches[0].file
    plan = Plan(
        model=weights, size=64, width=64, height=64, seed=0, samples=1, prompt="", negative_prompt="",
        nodes=(), scheduler=None, multi_scheduler=None, chunking_size=0, chunking_blur=0, patches=patches,
    )  # fmt: skip
    changed = {role: plan.patches_of(replace(plan.base(), role=role)) for role in Role}
    drawing = {Role.BASE: patches, Role.INPAINTER: patches}
    assert changed == dict.fromkeys(Role, ()) | drawing
