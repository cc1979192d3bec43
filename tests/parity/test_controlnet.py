"""Pictures under ControlNets equal those of diffusers' pipelines: at most 1/255 off."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from stretto.host.catalog.probe import probe
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.models import ModelSpec, Role
from stretto.host.contracts.plan import Control, Follower, Preprocessing, Rediffusion
from stretto.host.contracts.protocols import Frame
from stretto.host.contracts.steps import Rediffuse
from stretto.host.engine.components import settle
from stretto.host.errors import WeightsError
from stretto.host.steps.dispatch import CoreSteps
from stretto.host.steps.inpaint import Work
from stretto.host.testing.controls import make_tiny_controlnet
from stretto.host.testing.fixtures import tiny_inpainter  # noqa: F401
from stretto.plugins.loaders import register_loaders

from .conftest import Offers, Ours, difference

PIPES = {
    "text": ("StableDiffusionControlNetPipeline", "StableDiffusionXLControlNetPipeline"),
    "image": ("StableDiffusionControlNetImg2ImgPipeline", "StableDiffusionXLControlNetImg2ImgPipeline"),
    "mask": ("StableDiffusionControlNetInpaintPipeline", "StableDiffusionXLControlNetInpaintPipeline"),
}
BOTH = ("tiny_sd1", "tiny_sdxl")
TWO = ({"scale": 0.6, "start": 0.0, "end": 0.7}, {"scale": 1.3, "start": 0.3, "end": 1.0})


def stored(folder: Any, name: str, image: Image.Image) -> Any:
    path = folder / name
    image.save(path)
    return SimpleNamespace(
        image=image, ref=ImageRef(path=str(path), width=64, height=64, mode=image.mode, sha256="0" * 64)
    )


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: Any) -> Any:
    """Give two control images and a mask."""
    folder = tmp_path_factory.mktemp("drawings")
    levels = np.random.default_rng(3).integers(0, 255, (2, 64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:52, 10:45] = 255
    return SimpleNamespace(
        controls=[stored(folder, f"{i}.png", Image.fromarray(one)) for i, one in enumerate(levels)],
        mask=stored(folder, "mask.png", Image.fromarray(mask)),
        folder=folder,
    )


class Controlled:
    """One folder of weights with two ControlNets, drawn with by ours and by theirs."""

    def __init__(self, model: Any, folder: Any, base: Any) -> None:
        self.ours = Ours(model)
        self.model = model
        self.xl = (model / "text_encoder_2").exists()
        self.folders = [make_tiny_controlnet(folder / f"{model.name}-{i}", base, seed=i) for i in (20, 21)]
        loader = next(offer.build() for offer in register_loaders() if offer.name == "controlnet")
        for one in self.folders:
            spec = ModelSpec(role=Role.CONTROLNET, weights=probe(one), precision=self.ours.precision)
            self.ours.models[spec] = settle(loader.load(spec, self.ours.precision, "cpu"))
        self.networks = [diffusers.ControlNetModel.from_pretrained(one) for one in self.folders]
        self.pipes: dict[Any, Any] = {}

    def draw(self, drawings: Any, controls: Any, *, mask: Any = None, **changes: Any) -> Any:
        bench = self.ours.bench(**changes)
        made = tuple(
            Control(controlnet="any", weights=probe(self.folders[i]), image=drawings[i].ref, **one)
            for i, one in enumerate(controls)
        )
        (node,) = bench.plan.nodes
        node = replace(node, controls=made, mask=mask and mask.ref)
        bench.plan = replace(bench.plan, nodes=(node,))
        return self.ours.run(bench)

    def theirs(self, kind: str, drawings: Any, controls: Any, scheduler: str = "ddim", **more: Any) -> Any:
        several = len(controls) > 1
        pipe = self.pipe(kind, several=several)
        spec = Offers().offer("schedulers", scheduler)
        pipe.scheduler = spec.build({**self.config, **({spec.seed_key: 7} if spec.seed_key else {})})
        images = [one.image for one in drawings[: len(controls)]]
        scales = [one.get("scale", 1.0) for one in controls]
        values = {
            "prompt": "a red circle", "num_inference_steps": 4, "guidance_scale": 5.0, "width": 64, "height": 64,
            "image" if kind == "text" else "control_image": images if several else images[0],
            "controlnet_conditioning_scale": scales if several else scales[0],
            "control_guidance_start": [one.get("start", 0.0) for one in controls],
            "control_guidance_end": [one.get("end", 1.0) for one in controls],
        } | more  # fmt: skip
        return pipe(generator=torch.Generator().manual_seed(7), **values).images

    def pipe(self, kind: str, *, several: bool) -> Any:
        if (kind, several) not in self.pipes:
            more = {} if self.xl else {"safety_checker": None, "requires_safety_checker": False}
            made = getattr(diffusers, PIPES[kind][self.xl]).from_pretrained(
                self.model,
                controlnet=self.networks if several else self.networks[0],
                local_files_only=True,
                torch_dtype=torch.float32,
                **more,
            )
            made.set_progress_bar_config(disable=True)
            self.config = dict(made.scheduler.config)
            self.pipes[kind, several] = made
        return self.pipes[kind, several]


@pytest.fixture(scope="session")
def controlled(request: pytest.FixtureRequest, drawings: Any) -> Any:
    made: dict[str, Controlled] = {}

    def give(name: str) -> Controlled:
        if name not in made:
            model = request.getfixturevalue(name)
            # an inpainter's ControlNet is its base model's, of four channels
            base = request.getfixturevalue("tiny_sd1") if name == "tiny_inpainter" else model
            made[name] = Controlled(model, drawings.folder, base)
        return made[name]

    return give


@pytest.mark.parametrize("controls", [({},), ({"scale": 0.5, "start": 0.25, "end": 0.8},), TWO])
@pytest.mark.parametrize("model", BOTH)
def test_text(controlled, drawings, model, controls):
    one = controlled(model)
    ours = one.draw(drawings.controls, controls)
    assert difference(ours, one.theirs("text", drawings.controls, controls)) <= 1
    # else equality would prove nothing
    assert difference(ours, one.ours.draw()) > 2
    assert difference(ours, one.draw(drawings.controls[::-1], controls)) > 2


@pytest.mark.parametrize("scheduler", ["heun", "eads"])
def test_schedulers_and_samples(controlled, drawings, scheduler):
    one = controlled("tiny_sd1")
    ours = one.draw(drawings.controls, TWO, scheduler=scheduler, samples=2, guidance=1.0)
    theirs = one.theirs(
        "text", drawings.controls, TWO, scheduler, num_images_per_prompt=2, guidance_scale=1.0
    )
    assert difference(ours, theirs) <= 1


@pytest.mark.parametrize("controls", [({"scale": 0.8},), TWO])
@pytest.mark.parametrize("model", BOTH)
def test_image(controlled, drawings, picture, model, controls):
    one = controlled(model)
    ours = one.draw(drawings.controls, controls, image=picture.ref, strength=0.8)
    theirs = one.theirs("image", drawings.controls, controls, image=picture.image, strength=0.8)
    assert difference(ours, theirs) <= 1
    assert difference(ours, one.ours.draw(image=picture.ref, strength=0.8)) > 2


@pytest.mark.parametrize("controls", [({"scale": 0.8},), TWO])
@pytest.mark.parametrize("model", ["tiny_sd1", "tiny_inpainter", "tiny_sdxl"])
def test_mask(controlled, drawings, picture, model, controls, monkeypatch):
    monkeypatch.setattr(Work, "pasted", lambda _, drawn: drawn)
    one = controlled(model)
    ours = one.draw(drawings.controls, controls, image=picture.ref, strength=0.8, mask=drawings.mask)
    theirs = one.theirs(
        "mask", drawings.controls, controls,
        image=picture.image, mask_image=drawings.mask.image, strength=0.8,
    )  # fmt: skip
    assert difference(ours, theirs) <= 1


def test_windows_see_their_part_of_the_control_image(controlled, drawings, tmp_path):
    """Which part that is, to the pixel, is held in the engine's tests."""
    one = controlled("tiny_sd1")
    levels = np.tile(np.asarray(drawings.controls[0].image), (1, 2, 1))
    same = {"width": 128, "chunking_size": 32, "size": 64}
    drawn = one.draw([stored(tmp_path, "wide.png", Image.fromarray(levels))], ({},), **same)
    levels[:, 64:] = 255 - levels[:, 64:]
    changed = one.draw([stored(tmp_path, "other.png", Image.fromarray(levels))], ({},), **same)
    assert difference(drawn, changed) > 2


def test_windows_equal_one_over_the_whole(controlled, drawings):
    """Windows of the canvas' own size, of which there is one, change nothing."""
    one = controlled("tiny_sd1")
    assert (
        difference(one.draw(drawings.controls, TWO), one.draw(drawings.controls, TWO, chunking_size=32)) == 0
    )


def test_a_network_for_another_unet_is_named(controlled, drawings):
    small, large = controlled("tiny_sd1"), controlled("tiny_sdxl")
    control = Control(controlnet="any", weights=probe(large.folders[0]), image=drawings.controls[0].ref)
    bench = small.ours.bench()
    bench.models.update(large.ours.models)
    (node,) = bench.plan.nodes
    bench.plan = replace(bench.plan, nodes=(replace(node, controls=(control,)),))
    with pytest.raises(WeightsError, match="is made for a UNet with cross_attention_dim 192"):
        small.ours.run(bench)


def over(one: Any, picture: Any, *, how: Any = None, weights: int | None = 0, **changes: Any) -> Any:
    """Draw over a picture by our engine, under one of the ControlNets, in one window or in several."""
    bench = one.ours.bench(**changes)
    control = None
    if weights is not None:
        control = Follower(
            controlnet="any", weights=probe(one.folders[weights]), preprocessing=how, scale=0.8
        )
    settings = Rediffusion(
        prompt="a red circle", negative_prompt="", num_inference_steps=4, guidance_scale=5.0, strength=0.8,
        chunking_size=changes.get("chunking_size", 0), chunking_blur=16, control=control,
    )  # fmt: skip
    step = Rediffuse(settings=settings, model=bench.plan.base(), why="draw over")
    return CoreSteps().run_step(step, Frame(images=(picture,)), bench).images


@pytest.mark.parametrize("method", [None, "canny"])
@pytest.mark.parametrize("model", BOTH)
def test_what_is_drawn_over_is_followed_as_in_image_to_image(controlled, drawings, model, method):
    one = controlled(model)
    how = method and Preprocessing(method=method)
    picture = drawings.controls[1].image
    ours = over(one, picture, how=how)
    seen = picture
    if how is not None:
        edges = cv2.Canny(np.asarray(seen), 100, 200)
        assert edges.any()
        seen = Image.fromarray(np.stack([edges] * 3, axis=-1))
    one.pipe("image", several=False)
    theirs = one.theirs(
        "image", [SimpleNamespace(image=seen)], ({"scale": 0.8},), image=picture, strength=0.8
    )
    assert difference(ours, theirs) <= 1
    assert difference(ours, over(one, picture, weights=None)) > 2
    assert difference(ours, over(one, picture, how=how, weights=1)) > 2


def test_windows_over_an_enlarged_picture_are_guided_each_by_its_part(controlled, drawings):
    one = controlled("tiny_sd1")
    spec = next(spec for spec in one.ours.models if spec.weights == probe(one.folders[0]))
    seen = []
    listening = one.ours.models[spec].unet.register_forward_pre_hook(
        lambda _network, _arguments, words: seen.append(words["controlnet_cond"]), with_kwargs=True
    )
    wide = drawings.controls[0].image.resize((128, 64))
    (drawn,) = over(one, wide, chunking_size=32, size=64)
    listening.remove()
    pixels = torch.from_numpy(np.array(wide)).permute(2, 0, 1)[None] / 255
    rows = torch.cat([pixels[..., left : left + 64] for left in (0, 32, 64)])
    assert len(seen) == 3  # steps at strength 0.8, of 4; all windows at once, twice for guidance
    for told in seen:
        torch.testing.assert_close(told, rows.repeat(2, 1, 1, 1))
    assert difference([drawn], over(one, wide, weights=None, chunking_size=32, size=64)) > 2
