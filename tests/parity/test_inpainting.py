"""Repainted pictures equal those of diffusers' inpainting pipelines before ours pastes them: at most 1/255 off."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from stretto.host.contracts.images import ImageRef
from stretto.host.steps.inpaint import Work
from stretto.host.testing.fixtures import tiny_inpainter, tiny_sdxl_inpainter  # noqa: F401

from .conftest import Offers, Ours, difference

MODELS = ("tiny_sd1", "tiny_inpainter", "tiny_sd2", "tiny_sdxl", "tiny_sdxl_inpainter", "starter_path")
SCHEDULERS = ("ddim", "ddpm", "dpmsm", "heun", "adpmd", "dpmsde", "unipc", "lmsd", "pndm", "eds", "eads")


@pytest.fixture(scope="module")
def mask(tmp_path_factory: Any) -> Any:
    """Give a mask with straight, slanted and grey edges, and its reference."""
    levels = np.zeros((64, 64), np.uint8)
    levels[19:51, 10:45] = 255
    levels[np.add.outer(np.arange(64), np.arange(64)) < 24] = 200
    levels[:, 52:] = 100  # below the half: stays
    image = Image.fromarray(levels)
    path = tmp_path_factory.mktemp("inputs") / "mask.png"
    image.save(path)
    return SimpleNamespace(
        image=image, ref=ImageRef(path=str(path), width=64, height=64, mode="L", sha256="0" * 64)
    )


class Filler:
    """One folder of weights, filled masks with by ours and by theirs."""

    def __init__(self, folder: Any) -> None:
        self.ours = Ours(folder)
        xl = (folder / "text_encoder_2").exists()
        more = {} if xl else {"safety_checker": None, "requires_safety_checker": False}
        kind = diffusers.StableDiffusionXLInpaintPipeline if xl else diffusers.StableDiffusionInpaintPipeline
        self.pipe = kind.from_pretrained(folder, local_files_only=True, torch_dtype=torch.float32, **more)
        self.pipe.set_progress_bar_config(disable=True)
        self.config = dict(self.pipe.scheduler.config)

    def draw(self, mask: Any, **changes: Any) -> tuple[Image.Image, ...]:
        bench = self.ours.bench(**changes)
        (node,) = bench.plan.nodes
        bench.plan = replace(bench.plan, nodes=(replace(node, mask=mask.ref),))
        return self.ours.run(bench)

    def theirs(self, picture: Any, mask: Any, scheduler: str, **more: Any) -> list[Image.Image]:
        spec = Offers().offer("schedulers", scheduler)
        self.pipe.scheduler = spec.build({**self.config, **({spec.seed_key: 7} if spec.seed_key else {})})
        values = {
            "prompt": "a red circle", "num_inference_steps": 4, "guidance_scale": 5.0, "strength": 0.8,
            "width": 64, "height": 64, **more,
        }  # fmt: skip
        return self.pipe(
            image=picture.image, mask_image=mask.image, generator=torch.Generator().manual_seed(7), **values
        ).images


@pytest.fixture(scope="session")
def fillers(request: pytest.FixtureRequest) -> Any:
    made: dict[str, Filler] = {}

    def filler(name: str) -> Filler:
        if name not in made:
            made[name] = Filler(request.getfixturevalue(name))
        return made[name]

    return filler


@pytest.fixture
def unpasted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show what is drawn before it is pasted."""
    monkeypatch.setattr(Work, "pasted", lambda _, drawn: drawn)


@pytest.mark.usefixtures("unpasted")
@pytest.mark.parametrize("strength", [0.6, 1.0])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("model", MODELS)
def test_repainting(fillers, picture, mask, model, scheduler, strength):
    filler = fillers(model)
    ours = filler.draw(mask, image=picture.ref, scheduler=scheduler, strength=strength, steps=5)
    theirs = filler.theirs(picture, mask, scheduler, strength=strength, num_inference_steps=5)
    assert difference(ours, theirs) <= 1


@pytest.mark.usefixtures("unpasted")
@pytest.mark.parametrize("scheduler", ["ddim", "eads"])
@pytest.mark.parametrize("model", MODELS)
def test_several_samples(fillers, picture, mask, model, scheduler):
    filler = fillers(model)
    ours = filler.draw(mask, image=picture.ref, scheduler=scheduler, samples=2)
    theirs = filler.theirs(picture, mask, scheduler, num_images_per_prompt=2)
    assert difference(ours, theirs) <= 1
    assert difference(ours[:1], ours[1:]) > 2


@pytest.mark.usefixtures("unpasted")
@pytest.mark.parametrize("guidance", [1.0, 9.0])
@pytest.mark.parametrize("model", MODELS)
def test_guidance_and_negative_prompt(fillers, picture, mask, model, guidance):
    filler = fillers(model)
    ours = filler.draw(mask, image=picture.ref, guidance=guidance, negative_prompt="a blue dog")
    theirs = filler.theirs(picture, mask, "ddim", guidance_scale=guidance, negative_prompt="a blue dog")
    assert difference(ours, theirs) <= 1


@pytest.mark.usefixtures("unpasted")
@pytest.mark.parametrize("model", MODELS)
def test_what_is_compared_depends_on_image_and_mask(fillers, picture, mask, model, tmp_path):
    """Else equality would prove nothing."""
    filler = fillers(model)
    drawn = filler.draw(mask, image=picture.ref)
    for name, other in (
        ("image", Image.new("RGB", (64, 64), (200, 30, 90))),
        ("mask", mask.image.rotate(90)),
    ):
        path = tmp_path / f"{name}.png"
        other.save(path)
        ref = ImageRef(path=str(path), width=64, height=64, mode=other.mode, sha256="")
        changed = (
            filler.draw(mask, image=ref)
            if name == "image"
            else filler.draw(SimpleNamespace(ref=ref), image=picture.ref)
        )
        assert difference(drawn, changed) > 2


@pytest.mark.parametrize("model", MODELS)
def test_what_stays_is_the_input(fillers, picture, mask, model):
    (pasted,) = fillers(model).draw(mask, image=picture.ref)
    before, after = np.asarray(picture.image), np.asarray(pasted)
    levels = np.asarray(mask.image)
    assert (before[levels == 0] == after[levels == 0]).all()
    assert (before[levels == 255] != after[levels == 255]).any()


@pytest.mark.parametrize("scheduler", ["ddim", "eads", "dpmsm"])
@pytest.mark.parametrize("model", ["tiny_sd1", "tiny_inpainter", "tiny_sdxl_inpainter"])
def test_windows_cut_the_mask_too(fillers, mask, model, scheduler, tmp_path):
    """A canvas that repeats itself exactly looks alike in windows that lie a period apart."""
    filler = fillers(model)
    levels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    wide, holes = Image.fromarray(np.tile(levels, (1, 2, 1))), Image.fromarray(np.tile(mask.image, (1, 2)))
    refs = []
    for name, image in (("wide", wide), ("holes", holes)):
        image.save(tmp_path / f"{name}.png")
        refs.append(
            ImageRef(path=str(tmp_path / f"{name}.png"), width=128, height=64, mode=image.mode, sha256="")
        )
    (drawn,) = filler.draw(
        SimpleNamespace(ref=refs[1]), image=refs[0], width=128, scheduler=scheduler, chunking_size=32,
        chunking_blur=32, samples=1,
    )  # fmt: skip
    kept = np.asarray(holes) == 0
    assert (np.asarray(drawn)[kept] == np.asarray(wide)[kept]).all()
    assert (np.asarray(drawn)[~kept] != np.asarray(wide)[~kept]).any()
