"""Where the line stands, and which pictures have it."""

import pytest
from PIL import Image, ImageChops
from stretto.host import InvocationRequest
from stretto_watermark import Parameters, stamped

pytestmark = pytest.mark.stretto(plugins=["watermark"])


def drawn(host, plugins, **more):
    """Give the pictures of a small invocation."""
    values = {"prompt": "a red circle", "width": 128, "height": 128, "num_inference_steps": 2, "seed": 1}
    done = host.run_here(host.plan(InvocationRequest(**{**values, **more}, plugins=plugins)))
    pictures = []
    for name in done.images:
        with Image.open(host.folders.images / name) as image:
            pictures.append(image.copy())
    return pictures


def changed(one, other):
    return ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_it_stands_in_the_corner_and_keeps_the_mode(mode):
    plain = Image.new(mode, (200, 100), "gray")
    marked = stamped(plain, "mine", Parameters(corner="top-left"), 0.2)
    assert (marked.mode, marked.size) == (mode, plain.size)
    left, top, right, bottom = changed(plain, marked)
    assert left < 8
    assert top < 8
    assert right < 120
    assert bottom < 50


def test_every_sample_has_it_once_after_all_other_steps(host):
    mark = {"watermark": {"text": "mine", "opacity": 1.0}}
    more = {"samples": 2, "upscale": ("lanczos",), "outscale": 2}
    for plain, marked in zip(drawn(host, {}, **more), drawn(host, mark, **more), strict=True):
        left, top, *_ = changed(plain, marked)
        assert marked.size == (256, 256)
        assert left > 128
        assert top > 200  # letters of the enlarged picture, not enlarged letters


@pytest.mark.stretto(plugins=["watermark"], tables={"watermark": {"text": "ours"}})
def test_the_administrators_text_stands_where_a_request_says_none(host):
    plain, ours = drawn(host, {"watermark": {"text": ""}})[0], drawn(host, {})[0]
    assert changed(plain, ours)
    assert not changed(plain, drawn(host, {"watermark": {"text": ""}})[0])
