from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from stretto.host import LoadedModel, ModelSpec, Precision, Role, WeightFile, WeightKind
from stretto.host.catalog.probe import probe
from stretto.host.errors import WeightsError
from stretto.host.testing.tiny import make_ldm_checkpoint
from stretto.plugins.loaders import register_loaders

MODELS = ["tiny_sd1", "tiny_sd2", "tiny_sdxl", "tiny_refiner", "tiny_inpainter"]
LOADERS = {spec.name: spec.build() for spec in register_loaders()}


def load(
    file: WeightFile, precision: Precision = Precision.FLOAT32, vae: WeightFile | None = None
) -> LoadedModel:
    loader = next(loader for loader in LOADERS.values() if loader.accepts(file))
    return loader.load(ModelSpec(role=Role.BASE, weights=file, vae=vae), precision, "cpu")


def parts(model: LoadedModel) -> dict[str, Any]:
    texts = {f"text{i}": encoder for i, encoder in enumerate(model.text_encoders)}
    return {"unet": model.unet, "vae": model.vae, **texts}


def assert_same_weights(first: LoadedModel, second: LoadedModel) -> None:
    import torch

    ours, theirs = parts(first), parts(second)
    assert ours.keys() == theirs.keys()
    for name, network in ours.items():
        found, expected = network.state_dict(), theirs[name].state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items()), name


def bare(folder: Path, target: Path) -> Path:
    """Write a checkpoint that has nothing beside it but its small vocabulary: all else is derived."""
    file = make_ldm_checkpoint(folder, target, companion=False)
    for name in ("tokenizer", "tokenizer_2"):
        if (folder / name).is_dir():
            shutil.copytree(folder / name, file.with_suffix(".config") / name)
    return file


@pytest.mark.parametrize("name", MODELS)
def test_a_single_file_is_exactly_the_folder_it_came_from(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(name)
    original = load(probe(folder))
    single = load(probe(make_ldm_checkpoint(folder, tmp_path / "model.safetensors")))
    assert_same_weights(single, original)
    assert dict(single.scheduler_config) == dict(original.scheduler_config)
    assert single.options == original.options
    for ours, theirs in zip(single.tokenizers, original.tokenizers, strict=True):
        assert ours("a red cat").input_ids == theirs("a red cat").input_ids


@pytest.mark.parametrize("name", MODELS)
def test_settings_are_derived_from_the_shapes_alone(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    import torch

    folder = request.getfixturevalue(name)
    original, single = load(probe(folder)), load(probe(bare(folder, tmp_path / "model.safetensors")))
    assert_same_weights(single, original)
    config = original.unet.config
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, config.in_channels, 8, 8, generator=generator)
    text = torch.randn(1, 77, config.cross_attention_dim, generator=generator)
    added = None
    if config.addition_embed_type:
        numbers = 5 if name == "tiny_refiner" else 6
        added = {
            "text_embeds": torch.randn(1, 128, generator=generator),
            "time_ids": torch.ones(1, numbers),
        }
    with torch.inference_mode():
        noises = [m.unet(latents, 500, text, added_cond_kwargs=added).sample for m in (original, single)]
        images = [m.vae.decode(latents[:, :4]).sample for m in (original, single)]
        ids = torch.arange(77)[None]
        texts = [[enc(ids)[0] for enc in m.text_encoders] for m in (original, single)]
    assert torch.equal(*noises)
    assert torch.equal(*images)
    assert all(torch.equal(a, b) for a, b in zip(*texts, strict=True))


def test_settings_beside_the_file_say_what_shapes_cannot(tmp_path: Path, starter_path: Path) -> None:
    """The starter has groups of 4 and 8 channels, heads of 2 and its own vocabulary."""
    file = make_ldm_checkpoint(starter_path, tmp_path / "starter.safetensors")
    assert_same_weights(load(probe(file)), load(probe(starter_path)))
    shutil.rmtree(file.with_suffix(".config"))
    with pytest.raises(WeightsError, match=r"tokenizer.*starter\.config|heads|groups|divisible"):
        load(probe(file))


def test_sd2_without_a_word_is_measured(tiny_sd2: Path, tmp_path: Path) -> None:
    file = probe(bare(tiny_sd2, tmp_path / "model.safetensors"))
    assert file.prediction_type is None
    assert load(file).scheduler_config["prediction_type"] == "v_prediction"


def test_a_marked_xl_predicts_velocity_without_a_remainder_of_signal(tiny_sdxl: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    file = bare(tiny_sdxl, tmp_path / "model.safetensors")
    save_file({**load_file(file), "v_pred": torch.tensor([]), "ztsnr": torch.tensor([])}, file)
    config = load(probe(file)).scheduler_config
    assert config["prediction_type"] == "v_prediction"
    assert config["rescale_betas_zero_snr"] is True


@pytest.mark.parametrize(
    ("precision", "name"),
    [(Precision.FLOAT32, "float32"), (Precision.FLOAT16, "float16"), (Precision.BFLOAT16, "bfloat16")],
)
def test_networks_come_in_the_precision_asked_for(
    precision: Precision, name: str, tiny_sdxl: Path, tmp_path: Path
) -> None:
    import torch

    model = load(probe(make_ldm_checkpoint(tiny_sdxl, tmp_path / "model.safetensors")), precision)
    expected = getattr(torch, name)
    assert model.unet.dtype == model.text_encoders[1].dtype == expected
    # SDXL's own VAE overflows in 16 bits of float16
    assert model.vae.dtype == (torch.float32 if precision is Precision.FLOAT16 else expected)


def test_networks_are_ready_and_hold_no_part_of_the_file(tiny_sd1: Path, tmp_path: Path) -> None:
    import torch

    file = make_ldm_checkpoint(tiny_sd1, tmp_path / "model.safetensors")
    model = load(probe(file))
    before = {key: value.clone() for key, value in model.unet.state_dict().items()}
    size = file.stat().st_size
    with file.open("r+b") as broken:
        broken.truncate(0)
        broken.truncate(size)
    for network in parts(model).values():
        assert not network.training
        assert not any(parameter.requires_grad or parameter.is_meta for parameter in network.parameters())
        assert not any(buffer.is_meta for buffer in network.buffers())
    assert all(torch.equal(model.unet.state_dict()[key], value) for key, value in before.items())


def test_clips_own_vocabulary_needs_as_many_words(tiny_sd1: Path, tmp_path: Path) -> None:
    file = make_ldm_checkpoint(tiny_sd1, tmp_path / "model.safetensors", companion=False)
    with pytest.raises(WeightsError, match=r"49408.*model\.config/tokenizer"):
        load(probe(file))


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("first_stage_model.", "holds no VAE; name one with the parameter `vae`"),
        ("cond_stage_model.", "holds no text encoder"),
        ("model.diffusion_model.middle_block.", "lacks mid_block"),
        ("first_stage_model.decoder.conv_out.bias", "lacks decoder.conv_out.bias of its VAE"),
        ("model.diffusion_model.conv_out", None),
    ],
)
def test_a_missing_part_is_named(prefix: str, words: str | None, tiny_sd1: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = make_ldm_checkpoint(tiny_sd1, tmp_path / "model.safetensors")
    tensors = load_file(file)
    save_file({key: value for key, value in tensors.items() if not key.startswith(prefix)}, file)
    if words is None:
        load(probe(file))
        return
    with pytest.raises(WeightsError) as caught:
        load(probe(file))
    assert words in str(caught.value)
    assert str(file) in str(caught.value)


def test_tensors_of_another_architecture_are_refused(tiny_sd1: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    file = make_ldm_checkpoint(tiny_sd1, tmp_path / "model.safetensors")
    key = "model.diffusion_model.motion.weight"
    save_file({**load_file(file), key: torch.zeros(2)}, file)
    with pytest.raises(WeightsError, match=r"motion\.weight in its UNet that no UNet2DConditionModel"):
        load(probe(file))


def test_settings_that_do_not_fit_are_refused(tiny_sd1: Path, tmp_path: Path) -> None:
    file = make_ldm_checkpoint(tiny_sd1, tmp_path / "model.safetensors")
    config = tmp_path / "model.config" / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "cross_attention_dim": 99}))
    with pytest.raises(WeightsError, match="settings ask for"):
        load(probe(file))
    config.write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json"):
        load(WeightFile(path=str(file), kind=WeightKind.CHECKPOINT))


def test_a_ckpt_is_known_by_its_tensors(tiny_sdxl: Path, tiny_refiner: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    for folder in (tiny_sdxl, tiny_refiner):
        single = make_ldm_checkpoint(folder, tmp_path / "model.safetensors")
        ckpt = tmp_path / "model.ckpt"
        torch.save({"state_dict": load_file(single), "global_step": 3}, ckpt)
        file = probe(ckpt)
        assert file.family is None
        assert_same_weights(load(file), load(probe(folder)))
        shutil.rmtree(tmp_path / "model.config")


def test_a_file_that_vanished_or_lies_is_named(tmp_path: Path) -> None:
    for name, data in (("gone.safetensors", None), ("text.safetensors", b"hello"), ("text.ckpt", b"hello")):
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(WeightsError, match=name):
            load(WeightFile(path=str(path), kind=WeightKind.CHECKPOINT))


def test_no_pipeline_and_no_hub_is_asked(
    tiny_sd1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def refuse(*_args: object, **_values: object) -> None:
        raise AssertionError("the loader went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "0")
    load(probe(make_ldm_checkpoint(tiny_sd1, tmp_path / "model.safetensors")))
