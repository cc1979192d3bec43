"""Our pictures equal those of diffusers' own pipelines: at most 1/255 off in float32."""

from __future__ import annotations

import pytest

from .conftest import difference

SCHEDULERS = (
    "ddim", "ddpm", "deis", "dpmsm", "dpmss", "heun", "dpmd", "adpmd",
    "dpmsde", "unipc", "lmsd", "pndm", "eds", "eads",
)  # fmt: skip
MODELS = ("tiny_sd1", "tiny_sd2", "tiny_sdxl", "starter_path")


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("model", MODELS)
def test_text_to_image(pairs, model, scheduler):
    pair = pairs(model)
    ours = pair.ours.draw(scheduler=scheduler)
    assert difference(ours, pair.theirs.draw(scheduler)) <= 1


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("model", MODELS)
def test_image_to_image(pairs, picture, model, scheduler):
    pair = pairs(model)
    ours = pair.ours.draw(scheduler=scheduler, image=picture.ref, strength=0.6)
    theirs = pair.theirs.draw(scheduler, image=picture.image, strength=0.6)
    assert difference(ours, theirs) <= 1


@pytest.mark.parametrize("scheduler", ["ddim", "eads", "heun", "dpmsde"])
@pytest.mark.parametrize("model", MODELS)
def test_several_samples(pairs, model, scheduler):
    pair = pairs(model)
    ours = pair.ours.draw(scheduler=scheduler, samples=3)
    assert difference(ours, pair.theirs.draw(scheduler, num_images_per_prompt=3)) <= 1


@pytest.mark.parametrize("model", MODELS)
def test_several_samples_of_an_image(pairs, picture, model):
    pair = pairs(model)
    ours = pair.ours.draw(samples=2, image=picture.ref, strength=0.7, scheduler="eads")
    theirs = pair.theirs.draw("eads", num_images_per_prompt=2, image=picture.image, strength=0.7)
    assert difference(ours, theirs) <= 1


@pytest.mark.parametrize("guidance", [0.0, 1.0, 1.5, 7.0])
@pytest.mark.parametrize("model", MODELS)
def test_guidance(pairs, model, guidance):
    pair = pairs(model)
    ours = pair.ours.draw(guidance=guidance)
    assert difference(ours, pair.theirs.draw(guidance_scale=guidance)) <= 1


@pytest.mark.parametrize("model", MODELS)
def test_negative_prompt(pairs, model):
    pair = pairs(model)
    ours = pair.ours.draw(negative_prompt="a blue dog")
    assert difference(ours, pair.theirs.draw(negative_prompt="a blue dog")) <= 1
    assert difference(ours, pair.ours.draw()) > 2  # and it is heard at all


@pytest.mark.parametrize(("width", "height"), [(96, 64), (64, 104)])
@pytest.mark.parametrize("model", MODELS)
def test_other_shapes(pairs, model, width, height):
    pair = pairs(model)
    ours = pair.ours.draw(width=width, height=height, scheduler="eds")
    assert difference(ours, pair.theirs.draw("eds", width=width, height=height)) <= 1


@pytest.mark.parametrize("seed", [0, 2**32 - 1, 2**53 - 1])
def test_seeds(pairs, seed):
    pair = pairs("tiny_sd1")
    ours = pair.ours.draw(seed=seed, scheduler="eads")
    assert difference(ours, pair.theirs.draw("eads", seed=seed)) <= 1


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("scheduler", ["pndm", "heun", "dpmss", "unipc"])
def test_strengths(pairs, picture, scheduler, strength):
    pair = pairs("tiny_sd2")
    ours = pair.ours.draw(scheduler=scheduler, image=picture.ref, strength=strength, steps=6)
    theirs = pair.theirs.draw(scheduler, image=picture.image, strength=strength, num_inference_steps=6)
    assert difference(ours, theirs) <= 1


@pytest.mark.parametrize("model", MODELS)
def test_the_models_own_scheduler(pairs, model):
    pair = pairs(model)
    name = pair.ours.model.scheduler_config["_class_name"]
    assert difference(pair.ours.draw(scheduler=None), pair.theirs.draw(name)) <= 1


@pytest.mark.parametrize("model", MODELS)
def test_what_is_compared_depends_on_prompt_and_guidance(pairs, model):
    """Else equality would prove nothing."""
    ours = pairs(model).ours
    picture = ours.draw()
    for change in ({"prompt": "a blue dog"}, {"guidance": 7.0}, {"seed": 8}, {"scheduler": "eads"}):
        assert difference(picture, ours.draw(**change)) > 2
