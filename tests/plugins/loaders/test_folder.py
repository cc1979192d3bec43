from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from stretto.host import LoadedModel, ModelSpec, Precision, Role, WeightFile, WeightKind
from stretto.host.catalog.probe import probe
from stretto.host.errors import WeightsError
from stretto.plugins.loaders.folder import FolderLoader

MODELS = ["tiny_sd1", "tiny_sd2", "tiny_sdxl", "tiny_refiner", "tiny_inpainter", "starter_path"]


def load(folder: Path, precision: Precision = Precision.FLOAT32) -> LoadedModel:
    file = WeightFile(path=str(folder), kind=WeightKind.DIFFUSERS)
    return FolderLoader().load(ModelSpec(role=Role.BASE, weights=file), precision, "cpu")


@pytest.fixture
def copy(tiny_sd1: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_sd1, tmp_path / "copy"))


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("name", MODELS)
def test_equals_what_the_libraries_load(name: str, request: pytest.FixtureRequest) -> None:
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    folder = request.getfixturevalue(name)
    model = load(folder)
    classes = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    expected = [
        UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32),
        AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32),
        *(
            cls.from_pretrained(folder / part, dtype=torch.float32)
            for part, cls in classes.items()
            if (folder / part).is_dir()
        ),
    ]
    ids = torch.arange(77)[None]
    for ours, theirs in zip([model.unet, model.vae, *model.text_encoders], expected, strict=True):
        assert type(ours) is type(theirs)
        found = ours.state_dict()
        assert found.keys() == theirs.state_dict().keys()
        assert all(torch.equal(found[key], value) for key, value in theirs.state_dict().items())
        assert not ours.training
        if hasattr(ours, "get_input_embeddings"):
            assert torch.equal(ours(ids)[0], theirs(ids)[0])
    assert len(model.tokenizers) == len(model.text_encoders)
    assert model.tokenizers[0]("a red cat", padding="max_length").input_ids[0] > 0


def test_takes_options_and_scheduler_from_the_folder(tiny_refiner: Path, tiny_sd2: Path) -> None:
    assert load(tiny_refiner).options == {
        "force_zeros_for_empty_prompt": False,
        "requires_aesthetics_score": True,
    }
    config = load(tiny_sd2).scheduler_config
    assert (config["_class_name"], config["prediction_type"]) == ("PNDMScheduler", "v_prediction")


@pytest.mark.parametrize("variant", [".fp16", ""])
def test_reads_shards_and_variants(variant: str, copy: Path) -> None:
    import torch
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(copy / "unet")
    expected = unet.state_dict()
    shutil.rmtree(copy / "unet")
    unet.save_pretrained(copy / "unet", max_shard_size="1MB", variant=variant.removeprefix(".") or None)
    assert len(list((copy / "unet").glob("*.safetensors"))) > 1
    found = load(copy).unet.state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_reads_pickled_parts_and_the_names_of_older_libraries(copy: Path) -> None:
    import torch
    from safetensors.torch import load_file

    old_vae = {
        key.replace(".to_q.", ".query.")
        .replace(".to_k.", ".key.")
        .replace(".to_v.", ".value.")
        .replace(".to_out.0.", ".proj_attn."): value
        for key, value in load_file(copy / "vae" / "diffusion_pytorch_model.safetensors").items()
    }
    (copy / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(old_vae, copy / "vae" / "diffusion_pytorch_model.bin")
    text = load_file(copy / "text_encoder" / "model.safetensors")
    (copy / "text_encoder" / "model.safetensors").unlink()
    old_text = {"text_model." + key.removeprefix("text_model."): value for key, value in text.items()}
    old_text["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    torch.save(old_text, copy / "text_encoder" / "pytorch_model.bin")
    model = load(copy)
    original = load(copy.parent / "copy")
    assert torch.equal(
        model.vae.decoder.mid_block.attentions[0].to_q.weight,
        old_vae["decoder.mid_block.attentions.0.query.weight"],
    )
    assert len(model.text_encoders[0].state_dict()) == len(original.text_encoders[0].state_dict())


def test_another_vae_replaces_the_models_own(tiny_sd1: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    own = load_file(tiny_sd1 / "vae" / "diffusion_pytorch_model.safetensors")
    save_file({key: value * 0.5 for key, value in own.items()}, tmp_path / "half.safetensors")
    spec = ModelSpec(role=Role.BASE, weights=probe(tiny_sd1), vae=probe(tmp_path / "half.safetensors"))
    model = FolderLoader().load(spec, Precision.FLOAT32, "cpu")
    key = "decoder.conv_in.weight"
    assert torch.equal(model.vae.state_dict()[key], own[key] * 0.5)
    assert model.vae.config.scaling_factor == 0.18215


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("model_index.json", "model_index.json"),
        ("unet/config.json", "unet/config.json"),
        ("unet/diffusion_pytorch_model.safetensors", "unet holds no weights"),
        ("text_encoder/config.json", "text_encoder/config.json"),
        ("tokenizer/vocab.json", "tokenizer has no vocab.json"),
        ("scheduler/scheduler_config.json", "scheduler_config.json"),
    ],
)
def test_a_missing_file_is_named(file: str, words: str, copy: Path) -> None:
    (copy / file).unlink()
    with pytest.raises(WeightsError) as caught:
        load(copy)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "file",
    [
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/vocab.json",
    ],
)
def test_a_broken_file_is_named(file: str, copy: Path) -> None:
    path = copy / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError, match=str(path.parent)):
        load(copy)


def test_classes_of_other_architectures_are_refused(copy: Path) -> None:
    edit(copy / "model_index.json", vae=["diffusers", "AutoencoderTiny"])
    with pytest.raises(WeightsError, match="'AutoencoderTiny' for its vae"):
        load(copy)
    edit(copy / "model_index.json", vae=["diffusers", "AutoencoderKL"], text_encoder=["x", "T5EncoderModel"])
    with pytest.raises(WeightsError, match="class T5EncoderModel"):
        load(copy)
    edit(copy / "model_index.json", text_encoder=[None, None])
    with pytest.raises(WeightsError, match="no text encoder"):
        load(copy)


def test_an_index_may_not_lead_out_of_its_folder(copy: Path) -> None:
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    index = {"weight_map": {"conv_in.weight": "../vae/diffusion_pytorch_model.safetensors"}}
    (copy / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="outside of its folder"):
        load(copy)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("text_encoder", {"num_hidden_layers": 10**12}),
        ("unet", {"layers_per_block": 10**12}),
        ("unet", {"transformer_layers_per_block": [1, 10**12]}),
        ("vae", {"layers_per_block": 10**12}),
        ("text_encoder", {"hidden_size": "x"}),
        ("text_encoder", {"num_attention_heads": 0}),
        ("unet", {"block_out_channels": None}),
        ("vae", {"act_fn": True}),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(part: str, values: dict[str, Any], copy: Path) -> None:
    edit(copy / part / "config.json", **values)
    with pytest.raises(WeightsError, match=part):
        load(copy)
