"""What of an image is drawn: masks, empty parts, crops, the model's own size."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image, ImageDraw
from stretto.host import InvocationRequest, Plan
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.plan import Bounds
from stretto.host.errors import InvalidRequestError
from stretto.host.planning.build import build_plan
from stretto.host.planning.estimate import chunk_count, progress_ticks
from stretto.host.planning.order import order


@pytest.fixture
def store(tmp_path: Any) -> Any:
    """Give `store(image)`, which writes a picture and gives its reference."""

    def write(image: Image.Image, name: str = "") -> ImageRef:
        path = tmp_path / f"{name or len(list(tmp_path.iterdir()))}.png"
        image.save(path)
        return ImageRef(path=str(path), width=image.width, height=image.height, mode=image.mode, sha256="a")

    return write


def boxed(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=255)
    return mask


def plan_of(view: Any, **asked: Any) -> Plan:
    request = InvocationRequest(**{"prompt": "a cat", "model": "sd1.safetensors", "size": 128, **asked})
    return build_plan(request, view, draw=lambda: 7)


def fault_of(view: Any, **asked: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        plan_of(view, **asked)
    (fault,) = caught.value.faults
    return f"{fault.field}: {fault.message}"


def test_a_mask_needs_an_image(view: Any, store: Any) -> None:
    told = fault_of(view, mask=store(Image.new("L", (8, 8), 255)))
    assert told == "mask: there is no image whose part it could repaint; give `image` too"


def test_a_mask_must_have_white(view: Any, store: Any) -> None:
    image, mask = store(Image.new("RGB", (64, 64))), store(Image.new("L", (64, 64), 127))
    assert fault_of(view, image=image, mask=mask).startswith("mask: has no white on the canvas")
    assert plan_of(view, image=image, mask=mask, invert_mask=True).nodes[0].invert_mask


@pytest.mark.parametrize("lost", ["image", "mask"])
def test_lost_files_are_faults_of_their_parameter(view: Any, store: Any, lost: str) -> None:
    refs = {"image": store(Image.new("RGB", (64, 64))), "mask": store(Image.new("L", (64, 64), 255))}
    refs[lost] = ImageRef(path="/lost.png", width=64, height=64, mode="RGBA", sha256="")
    assert fault_of(view, **refs).startswith(f"{lost}: The input image /lost.png cannot be read")


def test_one_mask_tick_a_window_is_counted(view: Any, store: Any) -> None:
    image = store(Image.new("RGB", (128, 128)))
    plain = plan_of(view, image=image)
    masked = plan_of(view, image=image, mask=store(Image.new("L", (128, 128), 255)))
    assert progress_ticks(masked) == progress_ticks(plain) + 1
    assert order(masked)[0].why == "draw 128 x 128 px from a part of an image at strength 0.8, 32 steps"


# outpainting


@pytest.mark.parametrize(
    ("asked", "share"),
    [
        ({"width": 128, "height": 64}, "50"),
        ({"width": 128, "height": 128, "anchor": "center-center"}, "75"),
        ({"width": 192, "height": 96, "fit": "contain"}, "50"),
        ({"width": 192, "height": 96, "fit": "cover"}, None),
        ({"width": 192, "height": 96, "fit": "stretch"}, None),
        ({}, None),
    ],
)
def test_what_an_image_leaves_empty_is_outpainted(view: Any, store: Any, asked: Any, share: Any) -> None:
    plan = plan_of(view, image=store(Image.new("RGB", (64, 64))), size=512, **asked)
    (node,) = plan.nodes
    assert node.outpaint == (share is not None)
    assert node.strength == (0.8 if share is None else 1.0)
    told = f"the image leaves {share} % of the canvas empty; that is outpainted at strength 1"
    assert (told in plan.notes) == (share is not None)


def test_what_is_transparent_is_outpainted(view: Any, store: Any) -> None:
    image = Image.new("RGBA", (64, 64), (1, 2, 3, 129))
    assert not plan_of(view, image=store(image)).nodes[0].outpaint
    image.paste((1, 2, 3, 128), (0, 0, 16, 64))
    assert plan_of(view, image=store(image)).nodes[0].outpaint


@pytest.mark.parametrize("asked", [{"prompt": None}, {"prompt": " "}, {"strength": 0.0}])
def test_nothing_is_outpainted_without_words_or_strength(view: Any, store: Any, asked: Any) -> None:
    image = store(Image.new("RGB", (64, 64)))
    assert not plan_of(view, image=image, width=128, height=128, **asked).nodes[0].paints


def test_a_mask_keeps_its_strength_beside_empty_parts(view: Any, store: Any) -> None:
    image, mask = store(Image.new("RGB", (64, 64))), store(Image.new("L", (64, 64), 255))
    (node,) = plan_of(view, image=image, mask=mask, width=128, height=64, strength=0.5).nodes
    assert (node.outpaint, node.strength) == (True, 0.5)


# cropping


def test_a_small_mask_is_drawn_with_what_is_about_it(view: Any, store: Any) -> None:
    image = store(Image.new("RGB", (512, 512)))
    plan = plan_of(view, image=image, mask=store(boxed((512, 512), (200, 240, 280, 300))))
    (node,) = plan.nodes
    assert node.crop == Bounds(left=168, top=206, right=312, bottom=334)
    assert node.canvas_px == (128, 144)
    assert chunk_count(plan, node) == 2
    assert any(note.startswith("only 168, 206 to 312, 334 is drawn") for note in plan.notes)


@pytest.mark.parametrize(
    ("box", "asked", "crop"),
    [
        ((200, 240, 280, 300), {"crop_inpaint": False}, None),
        ((0, 0, 400, 500), {}, None),  # 75 % of the canvas or more
        ((0, 0, 8, 8), {}, (0, 0, 128, 128)),  # at a corner, as large as the model
        ((504, 504, 512, 512), {}, (384, 384, 512, 512)),
        ((0, 0, 8, 8), {"inpaint_feather": 0, "inpainter_size": 64}, (0, 0, 64, 64)),
        ((100, 100, 300, 300), {"inpaint_feather": 10}, (88, 88, 312, 312)),
        ((100, 100, 300, 300), {"size": 512}, None),  # the canvas is no larger than the model
    ],
)
def test_crops(view: Any, store: Any, box: Any, asked: Any, crop: Any) -> None:
    image = store(Image.new("RGB", (512, 512)))
    (node,) = plan_of(view, image=image, mask=store(boxed((512, 512), box)), **asked).nodes
    got = node.crop and (node.crop.left, node.crop.top, node.crop.right, node.crop.bottom)
    assert got == crop


def test_an_inverted_mask_crops_to_what_was_black(view: Any, store: Any) -> None:
    image = store(Image.new("RGB", (512, 512)))
    mask = Image.new("L", (512, 512), 255)
    mask.paste(0, (0, 0, 8, 8))
    (node,) = plan_of(view, image=image, mask=store(mask), invert_mask=True).nodes
    assert node.crop == Bounds(left=0, top=0, right=128, bottom=128)


# the model's own size


@pytest.mark.parametrize(
    ("size", "drawn"),
    [
        ((64, 64), (128, 128)),
        ((100, 60), (216, 128)),  # 100 * 128 / 60 = 213.3, in whole cells
        ((43, 43), (128, 128)),
        ((42, 42), None),  # more than three times
        ((128, 300), None),
        ((300, 60), (640, 128)),
    ],
)
@pytest.mark.parametrize("with_image", [False, True])
def test_small_canvases_are_drawn_at_the_models_size(
    view: Any, store: Any, size: Any, drawn: Any, with_image: bool
) -> None:
    image = store(Image.new("RGB", size)) if with_image else None
    asked = {"width": size[0], "height": size[1], "image": image}
    (node,) = plan_of(view, scale_to_model_size=True, **asked).nodes
    assert (node.draw_width, node.draw_height) == (drawn or (None, None))
    assert plan_of(view, **asked).nodes[0].draw_width is None


def test_too_small_a_canvas_says_so(view: Any) -> None:
    plan = plan_of(view, width=40, height=40, scale_to_model_size=True)
    assert any(
        note.startswith("40 x 40 px is too small to be drawn at the model's 128") for note in plan.notes
    )


def test_the_plan_keeps_the_contracts_keys(view: Any, store: Any) -> None:
    image, mask = store(Image.new("RGB", (64, 64))), store(Image.new("L", (32, 32), 255))
    told = plan_of(view, image=image, mask=mask, fit="stretch", inpainter="fill.safetensors").to_json()
    assert told["inpainter"] == "fill.safetensors"
    assert told["inpainter_size"] == 128
    (node,) = told["nodes"]
    assert (node["mask"]["width"], node["mask"]["mode"], node["mask"]["filename"]) == (32, "L", mask.path)
