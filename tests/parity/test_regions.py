"""Regions that are denoised together: one over all is the plain picture, each follows its own words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stretto.host.contracts.plan import Bounds, Region

from .conftest import difference


def region(left, top, right, bottom, prompt="a red circle", guidance=5.0):
    bounds = Bounds(left=left, top=top, right=right, bottom=bottom)
    return Region(bounds=bounds, prompt=prompt, negative_prompt="", guidance_scale=guidance)


def draw(ours, regions, **asked):
    bench = ours.bench(**asked)
    node = replace(bench.plan.nodes[0], regions=tuple(regions))
    bench.plan = replace(bench.plan, nodes=(node,))
    return ours.run(bench)


@pytest.mark.parametrize("scheduler", ["ddim", "eads"])
@pytest.mark.parametrize("model", ["tiny_sd1", "tiny_sdxl", "starter_path"])
def test_one_region_over_all_is_the_plain_picture(pairs, model, scheduler):
    pair = pairs(model)
    whole = draw(pair.ours, [region(0, 0, 64, 64)], prompt="a blue dog", scheduler=scheduler, samples=2)
    assert difference(whole, pair.ours.draw(scheduler=scheduler, samples=2)) == 0
    theirs = pair.theirs.draw(scheduler, num_images_per_prompt=2)
    assert difference(whole, theirs) <= 1


def test_windows_of_one_region_over_all_are_those_of_the_canvas(pairs):
    ours = pairs("tiny_sd1").ours
    shape = {"width": 128, "height": 96, "size": 64, "chunking_size": 32, "chunking_blur": 16}
    whole = draw(ours, [region(0, 0, 128, 96)], prompt="a blue dog", **shape)
    assert difference(whole, ours.draw(**shape)) == 0


@pytest.mark.parametrize("model", ["tiny_sd1", "tiny_sdxl"])
def test_the_words_of_a_region_show_where_it_lies(pairs, model):
    """Other words for the right half change it more than the left one, which the decoder lets see over the border."""
    ours = pairs(model).ours
    words = ("a red circle", "a blue dog")
    halves = [region(0, 0, 64, 64, words[0]), region(64, 0, 128, 64, words[1], guidance=3.0)]
    one = draw(ours, halves, width=128, size=64, chunking_size=32)
    other = draw(ours, [halves[0], region(64, 0, 128, 64, words[0])], width=128, size=64, chunking_size=32)
    left, right = (0, 0, 32, 64), (96, 0, 128, 64)  # the decoder sees over the border
    assert difference([one[0].crop(left)], [other[0].crop(left)]) < difference(
        [one[0].crop(right)], [other[0].crop(right)]
    )


def test_images_masks_and_samples_may_be_drawn_by_regions(pairs, picture):
    ours = pairs("tiny_sd1").ours
    halves = [region(0, 0, 32, 64), region(32, 0, 64, 64, "a blue dog", guidance=1.0)]
    started = draw(ours, halves, image=picture.ref, strength=0.5, samples=2)
    assert difference(started[:1], started[1:]) > 2
    whole = draw(ours, [region(0, 0, 64, 64)], image=picture.ref, strength=0.5, prompt="a blue dog")
    assert difference(whole, ours.draw(image=picture.ref, strength=0.5)) == 0
