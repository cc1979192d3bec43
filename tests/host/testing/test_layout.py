from __future__ import annotations

from pathlib import Path

import pytest
from stretto.host.testing.tiny import make_ldm_checkpoint, make_tiny_sd1

PIPELINES = {
    "tiny_sd1": "StableDiffusionPipeline",
    "tiny_sdxl": "StableDiffusionXLPipeline",
    "tiny_inpainter": "StableDiffusionInpaintPipeline",
}


@pytest.mark.parametrize("name", PIPELINES)
def test_diffusers_reads_it_as_the_same_model(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """diffusers' own converter is the independent judge of the key names."""
    import diffusers
    import torch

    folder = request.getfixturevalue(name)
    file = make_ldm_checkpoint(folder, tmp_path / "model.safetensors")
    options = {} if name == "tiny_sdxl" else {"safety_checker": None}
    pipeline = getattr(diffusers, PIPELINES[name]).from_single_file(
        file, config=str(folder), local_files_only=True, **options
    )
    original = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        ours, theirs = getattr(original, part, None), getattr(pipeline, part, None)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            found = theirs.state_dict()
            assert all(torch.equal(value, found[key]) for key, value in ours.state_dict().items())


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("tiny_sd1", ["cond_stage_model.transformer.text_model.embeddings.position_ids"]),
        ("tiny_sd2", ["cond_stage_model.model.transformer.resblocks.3.attn.in_proj_weight"]),
        (
            "tiny_sdxl",
            [
                "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight",
                "conditioner.embedders.1.model.text_projection",
            ],
        ),
        ("tiny_refiner", ["conditioner.embedders.0.model.positional_embedding"]),
    ],
)
def test_the_text_encoders_stand_where_the_originals_have_them(
    name: str, keys: list[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    from safetensors import safe_open

    file = make_ldm_checkpoint(request.getfixturevalue(name), tmp_path / "model.safetensors")
    with safe_open(file, "pt") as tensors:
        assert set(keys) <= set(tensors.keys())


def test_it_is_written_whole_and_the_same_each_time(tiny_sd1: Path, tmp_path: Path) -> None:
    first = make_ldm_checkpoint(tiny_sd1, tmp_path / "a" / "model.safetensors", companion=False)
    second = make_ldm_checkpoint(tiny_sd1, tmp_path / "b" / "model.safetensors")
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == ["model.safetensors"]
    assert (second.parent / "model.config" / "tokenizer" / "vocab.json").is_file()


def test_other_weights_make_another_file(tiny_sd1: Path, tmp_path: Path) -> None:
    other = make_tiny_sd1(tmp_path / "other", seed=3)
    assert make_ldm_checkpoint(tiny_sd1, tmp_path / "a.safetensors").read_bytes() != (
        make_ldm_checkpoint(other, tmp_path / "b.safetensors").read_bytes()
    )
