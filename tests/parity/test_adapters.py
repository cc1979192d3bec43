"""What LoRA, LyCORIS and inversions draw with us and with diffusers' own loaders: at most 1/255 off."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file
from stretto.host.catalog.probe import probe
from stretto.host.contracts.models import Patch, WeightKind
from stretto.host.errors import CancelledError
from stretto.host.testing.adapters import (
    LoraForm,
    make_inversion,
    make_loha,
    make_lokr,
    make_lora,
    model_layers,
)

from .conftest import difference

MODELS = ("tiny_sd1", "tiny_sdxl")
WIDTHS = {"tiny_sd1": (64,), "tiny_sdxl": (64, 128)}
SEEN = 4  # levels of 255 that a picture must change by, else equality would prove nothing
FORMS = {
    "kohya": LoraForm(alpha=3.0),
    "kohya without alpha": LoraForm(),
    "kohya, text too": LoraForm(alpha=2.0, text=True),
    "LoCon": LoraForm(alpha=2.0, convolutions=True),
    "SGM": LoraForm(naming="sgm", alpha=4.0, text=True),
    "diffusers": LoraForm(naming="diffusers"),
    "peft": LoraForm(naming="peft", text=True, convolutions=True),
    "processors": LoraForm(naming="processor"),
    "DoRA": LoraForm(naming="peft", dora=True),
    "DoRA, text and convolutions": LoraForm(naming="peft", dora=True, text=True, convolutions=True),
}


def patch_of(path, weight=1.0):
    file = probe(path)
    return Patch(kind=file.kind, file=file, weight=weight)


def state_of(model):
    """Copy every tensor of a model."""
    return [
        {name: value.clone() for name, value in network.state_dict().items()}
        for network in (model.unet, model.vae, *model.text_encoders)
    ]


def same_bits(before, model):
    after = state_of(model)
    assert [list(one) for one in before] == [list(one) for one in after]
    return all(
        value.numpy().tobytes() == other[name].numpy().tobytes()
        for one, other in zip(before, after, strict=True)
        for name, value in one.items()
    )


@contextmanager
def adapted(pipe, files, weights):
    """Give diffusers' pipeline the adapters, by its own loaders."""
    names = [f"a{number}" for number in range(len(files))]
    try:
        for name, file in zip(names, files, strict=True):
            pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name=name)
            give_magnitudes(pipe, file)
        pipe.set_adapters(names, list(weights))
        yield
    finally:
        pipe.unload_lora_weights()


def give_magnitudes(pipe, file):
    """Put DoRA's magnitudes into the text encoders: their loader (transformers 5.23) drops them by a wrong name."""
    tensors = load_file(file)
    for part in ("text_encoder", "text_encoder_2") if any("magnitude" in name for name in tensors) else ():
        encoder = getattr(pipe, part, None)
        for name, parameter in encoder.named_parameters() if encoder is not None else ():
            if "lora_magnitude_vector" in name:
                layer = name.removeprefix("text_model.").partition(".lora_magnitude")[0]
                parameter.data.copy_(tensors[f"{part}.text_model.{layer}.lora_magnitude_vector"])


@pytest.mark.parametrize(
    ("model", "form"),
    # diffusers maps the original names of blocks for SDXL alone
    [(model, form) for model in MODELS for form in FORMS if (model, form) != ("tiny_sd1", "SGM")],
)
def test_lora(pairs, tmp_path, model, form):
    pair = pairs(model)
    file = make_lora(pair.folder, tmp_path / "style.safetensors", FORMS[form])
    before = state_of(pair.ours.model)
    ours = pair.ours.draw(patches=(patch_of(file, 0.75),))
    assert same_bits(before, pair.ours.model)
    with adapted(pair.theirs.from_text, [file], [0.75]):
        theirs = pair.theirs.draw()
    assert difference(ours, theirs) <= 1
    assert difference(ours, pair.ours.draw()) > SEEN


@pytest.mark.parametrize("model", MODELS)
def test_names_of_the_original_blocks(pairs, tmp_path, model):
    """The same LoRA under three trainers' names draws the same."""
    pair = pairs(model)
    drawn = [
        pair.ours.draw(patches=(patch_of(make_lora(pair.folder, tmp_path / f"{naming}.safetensors", form)),))
        for naming in ("kohya", "sgm", "peft")
        for form in [LoraForm(naming=naming, text=True, convolutions=True)]
    ]
    assert difference(drawn[0], drawn[1]) == 0
    assert difference(drawn[0], drawn[2]) == 0


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")
@pytest.mark.parametrize("model", MODELS)
def test_two_with_weights(pairs, tmp_path, model):
    pair = pairs(model)
    files = [
        make_lora(pair.folder, tmp_path / "one.safetensors", LoraForm(seed=1, alpha=2.0, text=True)),
        make_lora(pair.folder, tmp_path / "two.safetensors", LoraForm(seed=2, rank=8, naming="peft")),
    ]
    before = state_of(pair.ours.model)
    ours = pair.ours.draw(patches=tuple(map(patch_of, files, (0.7, -0.4))))
    assert same_bits(before, pair.ours.model)
    with adapted(pair.theirs.from_text, files, (0.7, -0.4)):
        theirs = pair.theirs.draw()
    assert difference(ours, theirs) <= 1
    alone = pair.ours.draw(patches=(patch_of(files[0], 0.7),))
    assert difference(ours, alone) > SEEN


def test_an_image_is_drawn_over_with_a_lora(pairs, picture, tmp_path):
    pair = pairs("tiny_sd1")
    file = make_lora(pair.folder, tmp_path / "style.safetensors", LoraForm())
    ours = pair.ours.draw(image=picture.ref, strength=0.6, patches=(patch_of(file),))
    with adapted(pair.theirs.from_image, [file], [1.0]):
        theirs = pair.theirs.draw(image=picture.image, strength=0.6)
    assert difference(ours, theirs) <= 1


def loha(factors, shape):
    first = factors["hada_w1_a"] @ factors["hada_w1_b"]
    return (first * (factors["hada_w2_a"] @ factors["hada_w2_b"])).reshape(shape) * (2.0 / 4)


def lokr(factors, shape):
    """Multiply block by block, which is what Kronecker's product is."""
    second = factors["lokr_w2_a"] @ factors["lokr_w2_b"]
    second = second.reshape(second.shape[0], -1, *shape[2:])
    rows = [torch.cat([value * second for value in row], dim=1) for row in factors["lokr_w1"]]
    return torch.cat(rows, dim=0) * (2.0 / 4)


@pytest.mark.parametrize(("make", "formula"), [(make_loha, loha), (make_lokr, lokr)])
@pytest.mark.parametrize("model", MODELS)
def test_lycoris_by_its_formula(pairs, tmp_path, model, make, formula):
    """diffusers reads neither, so its pipeline gets weights that were changed by the formula."""
    pair = pairs(model)
    file = make(pair.folder, tmp_path / "style.safetensors", alpha=2.0)
    before = state_of(pair.ours.model)
    patch = patch_of(file, 0.6)
    assert patch.kind is WeightKind.LYCORIS
    ours = pair.ours.draw(patches=(patch,))
    assert same_bits(before, pair.ours.model)
    tensors = load_file(file)
    kept = {name: value.clone() for name, value in pair.theirs.from_text.unet.state_dict().items()}
    try:
        for (_, name), shape in model_layers(pair.folder, convolutions=True).items():
            stem = "lora_unet_" + name.replace(".", "_") + "."
            factors = {
                key.removeprefix(stem): value for key, value in tensors.items() if key.startswith(stem)
            }
            weight = pair.theirs.from_text.unet.get_submodule(name).weight
            with torch.no_grad():
                weight += 0.6 * formula(factors, shape)
        theirs = pair.theirs.draw()
    finally:
        pair.theirs.from_text.unet.load_state_dict(kept)
    assert difference(ours, theirs) <= 1
    assert difference(ours, pair.ours.draw()) > SEEN


@pytest.mark.parametrize("vectors", [1, 3])
@pytest.mark.parametrize(
    ("file", "word", "prompt"),
    [
        ("easy.pt", "easy", "a photo of an easy cat"),
        ("learned_embeds.bin", "<foo>", "a <foo>, red"),
        ("style.safetensors", "style", "a style dog, style"),
    ],
)
def test_inversion(pairs, tmp_path, file, word, prompt, vectors):
    pair = pairs("tiny_sd1")
    stem = None if file.endswith(".safetensors") else word
    path = make_inversion(tmp_path / "inversion" / file, (64,), word=stem, vectors=vectors)
    before = state_of(pair.ours.model)
    ours = pair.ours.draw(prompt=prompt, patches=(patch_of(path),))
    assert same_bits(before, pair.ours.model)
    pipe = pair.theirs.from_text
    pipe.load_textual_inversion(path.parent, weight_name=path.name, token=word)
    try:
        theirs = pair.theirs.draw(prompt=prompt)
    finally:
        pipe.unload_textual_inversion()
    assert difference(ours, theirs) <= 1
    assert difference(ours, pair.ours.draw(prompt=prompt)) > SEEN
    assert "is called by" in " ".join(noted(pair.ours, prompt=prompt, patches=(patch_of(path),)))


def noted(ours, **changes):
    bench = ours.bench(**changes)
    ours.run(bench)
    return bench.plan.notes


@pytest.mark.parametrize("vectors", [1, 2])
def test_inversion_of_sdxl(pairs, tmp_path, vectors):
    """One file teaches both encoders; diffusers must be given each tensor by itself."""
    pair = pairs("tiny_sdxl")
    path = make_inversion(tmp_path / "zog.safetensors", (64, 128), vectors=vectors)
    prompt = "a zog on the left"
    before = state_of(pair.ours.model)
    ours = pair.ours.draw(prompt=prompt, patches=(patch_of(path),))
    assert same_bits(before, pair.ours.model)
    pipe, tensors = pair.theirs.from_text, load_file(path)
    parts = [("clip_l", pipe.text_encoder, pipe.tokenizer), ("clip_g", pipe.text_encoder_2, pipe.tokenizer_2)]
    # Configs with the end token 2 have transformers pool where the largest id stands. That is the end
    # of the text until there are new words, and then the word: https://github.com/huggingface/transformers/pull/24773
    pooling = pipe.text_encoder_2.text_model
    end, pooling.eos_token_id = pooling.eos_token_id, pipe.tokenizer_2.eos_token_id
    for name, encoder, tokenizer in parts:
        pipe.load_textual_inversion(tensors[name], token=path.stem, text_encoder=encoder, tokenizer=tokenizer)
    try:
        theirs = pair.theirs.draw(prompt=prompt)
    finally:
        pooling.eos_token_id = end
        for _, encoder, tokenizer in parts:
            pipe.unload_textual_inversion(text_encoder=encoder, tokenizer=tokenizer)
    assert difference(ours, theirs) <= 1
    assert difference(ours, pair.ours.draw(prompt=prompt)) > SEEN


def test_a_word_can_be_weighed_and_needs_to_stand_alone(pairs, tmp_path):
    ours = pairs("tiny_sd1").ours
    patch = patch_of(make_inversion(tmp_path / "zog.safetensors", (64,)))
    plain = ours.draw(prompt="a zog", patches=(patch,))
    assert difference(plain, ours.draw(prompt="a (zog:1.5)", patches=(patch,))) > 1
    assert difference(plain, ours.draw(prompt="A ZOG", patches=(patch,))) == 0
    within = "a zogs"
    assert difference(ours.draw(prompt=within, patches=(patch,)), ours.draw(prompt=within)) == 0


def test_all_three_at_once_and_in_the_negative_prompt(pairs, tmp_path):
    pair = pairs("tiny_sdxl")
    patches = (
        patch_of(make_lora(pair.folder, tmp_path / "a.safetensors", LoraForm(text=True)), 0.5),
        patch_of(make_loha(pair.folder, tmp_path / "b.safetensors"), 0.5),
        patch_of(make_inversion(tmp_path / "bad.safetensors", (64, 128), vectors=2)),
        patch_of(make_inversion(tmp_path / "zog.safetensors", (64, 128), seed=2)),
    )
    before = state_of(pair.ours.model)
    drawn = [
        pair.ours.draw(prompt="a zog", negative_prompt="bad", patches=patches[:count]) for count in range(5)
    ]
    assert same_bits(before, pair.ours.model)
    assert all(difference(one, other) > 0 for one, other in pairwise(drawn))


@pytest.mark.parametrize("model", MODELS)
def test_a_weight_of_zero_is_no_patch(pairs, tmp_path, model):
    pair = pairs(model)
    file = make_lora(
        pair.folder, tmp_path / "style.safetensors", LoraForm(text=True, naming="peft", dora=True)
    )
    assert difference(pair.ours.draw(patches=(patch_of(file, 0.0),)), pair.ours.draw()) == 0


def test_pictures_without_are_as_before(pairs, tmp_path):
    """The text embeddings that are remembered, too, are told apart by what changed the encoders."""
    pair = pairs("tiny_sd1")
    file = make_lora(pair.folder, tmp_path / "style.safetensors", LoraForm(text=True))
    bench = pair.ours.bench()
    plain = pair.ours.run(bench)
    bench.plan = pair.ours.plan(patches=(patch_of(file),))
    changed = pair.ours.run(bench)
    bench.plan = pair.ours.plan()
    assert difference(pair.ours.run(bench), plain) == 0
    bench.plan = pair.ours.plan(patches=(patch_of(file, 0.5),))
    assert difference(pair.ours.run(bench), changed) > SEEN


@pytest.mark.parametrize("raised", [CancelledError("stopped"), RuntimeError("broke"), KeyboardInterrupt()])
def test_weights_come_back_whatever_happens(pairs, tmp_path, raised):
    pair = pairs("tiny_sdxl")
    patches = (
        patch_of(make_lora(pair.folder, tmp_path / "a.safetensors", LoraForm(text=True, convolutions=True))),
        patch_of(make_inversion(tmp_path / "zog.safetensors", (64, 128))),
    )
    bench = pair.ours.bench(prompt="a zog", patches=patches)
    before, tables = state_of(pair.ours.model), tables_of(pair.ours.model)
    count = len(pair.ours.model.tokenizers[0])

    def tick(task, **_how):
        if task == "drawing":
            raise raised

    bench.tick = tick
    with pytest.raises(type(raised)):
        pair.ours.run(bench)
    assert same_bits(before, pair.ours.model)
    assert all(one is other for one, other in zip(tables, tables_of(pair.ours.model), strict=True))
    assert len(pair.ours.model.tokenizers[0]) == count
    assert {encoder.config.eos_token_id for encoder in pair.ours.model.text_encoders} == {2}


def tables_of(model):
    return [encoder.get_input_embeddings() for encoder in model.text_encoders]


def test_a_lora_that_diffusers_saved_says_its_alpha_beside_the_tensors(pairs, tmp_path):
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pair = pairs("tiny_sd1")
    pipe = pair.theirs.from_text
    torch.manual_seed(1)
    config = LoraConfig(
        r=4, lora_alpha=12, init_lora_weights=False, target_modules=["to_q", "to_v"],
        alpha_pattern={"attn2.to_v": 1},
    )  # fmt: skip
    pipe.unet.add_adapter(config, "made")
    try:
        layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipe.unet, adapter_name="made"))
        pipe.save_lora_weights(
            tmp_path,
            unet_lora_layers=layers,
            unet_lora_adapter_metadata=pipe.unet.peft_config["made"].to_dict(),
        )
        theirs = pair.theirs.draw()
    finally:
        pipe.unload_lora_weights()
    ours = pair.ours.draw(patches=(patch_of(tmp_path / "pytorch_lora_weights.safetensors"),))
    assert difference(ours, theirs) <= 1
    assert difference(ours, pair.ours.draw()) > SEEN
