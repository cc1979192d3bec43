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
