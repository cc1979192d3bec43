"""Nodes of a request: places, words, what is done with images, faults by their paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from stretto.host import BackgroundRemoverSpec, InvocationRequest, Node, NodeRequest, Plan
from stretto.host.contracts.images import ImageRef
from stretto.host.errors import InvalidRequestError
from stretto.host.planning.build import build_plan
from stretto.host.planning.estimate import progress_ticks
from stretto.host.planning.nodes import SEED_STRIDE
from stretto.host.planning.order import order
from stretto.host.settings import Folders

Store = Callable[..., ImageRef]


@pytest.fixture
def store(tmp_path: Any) -> Store:
    """Give `store(size, mode)`, a reference to a picture; RGBA ones are empty on their right."""

    def stored(size: tuple[int, int] = (64, 64), mode: str = "RGB") -> ImageRef:
        image = Image.new(mode, size, 255 if mode == "L" else (200, 30, 30, 255)[: len(mode)])
        if mode == "RGBA":
            image.paste((0, 0, 0, 0), (size[0] // 2, 0, *size))
        path = tmp_path / f"{mode}-{size[0]}-{size[1]}.png"
        image.save(path)
        return ImageRef(path=str(path), width=size[0], height=size[1], mode=mode, sha256="")

    return stored


@pytest.fixture
def remover(view: Any, tmp_path: Any) -> str:
    """Offer a background remover whose file is there."""
    spec = BackgroundRemoverSpec(name="cutter", files=("cutter.onnx",), source="", open=unopened)
    view.registries["background_removers"].add(spec, "p")
    view.folders = Folders(tmp_path)
    folder = view.folders.model_folder("background")
    folder.mkdir(parents=True)
    (folder / "cutter.onnx").write_bytes(b"weights")
    return "cutter"


def unopened(*_: Any) -> Any:
    raise AssertionError("planning opens no network")


def plan_of(view: Any, *nodes: NodeRequest, **asked: Any) -> Plan:
    values = {"model": "own.safetensors", "size": 64, "width": 128, "height": 64, "chunking_size": 0, **asked}
    return build_plan(InvocationRequest(nodes=nodes, **values), view, draw=lambda: 7)


def faults_of(view: Any, *nodes: NodeRequest, **asked: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        plan_of(view, *nodes, **asked)
    return {fault.field: fault.message for fault in caught.value.faults}


def kinds(plan: Plan) -> list[str]:
    return [type(step).__name__ for step in order(plan)]


LEFT = {"w": 64, "h": 64, "prompt": "a cat"}
RIGHT = {"x": 64, "w": 64, "h": 64, "prompt": "a dog"}


def test_two_prompts_side_by_side(view: Any) -> None:
    plan = plan_of(view, NodeRequest(**LEFT), NodeRequest(**RIGHT), prompt="a cat and a dog")
    assert [node.prompt for node in plan.nodes] == ["a cat", "a dog"]
    assert [node.bounds.to_json() for node in plan.nodes] == [[[0, 0], [64, 64]], [[64, 0], [128, 64]]]
    assert plan.prompt == "a cat and a dog"
    assert plan.remainder is None
    assert kinds(plan) == ["Diffuse", "Paste", "Diffuse", "Paste", "Flatten", "Save"]
    assert progress_ticks(plan) == 2 * (40 + 1 + 4) + 1


def test_nodes_draw_other_noise_unless_they_say_which(view: Any) -> None:
    plan = plan_of(view, NodeRequest(**LEFT), NodeRequest(**RIGHT), NodeRequest(**RIGHT, seed=3), seed=5)
    assert [plan.seed + node.seed_offset for node in plan.nodes] == [5, 5 + SEED_STRIDE, 3]


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"prompt": "a cat"}, ("a cat, in oil", "blurred, red")),
        ({}, ("a room, in oil", "blurred, red")),
        ({"prompt": " "}, ("a room, in oil", "blurred, red")),
        ({"prompt": "a cat", "negative_prompt": "a dog"}, ("a cat, in oil", "a dog, blurred, red")),
        ({"prompt": "a cat", "negative_prompt": "blurred"}, ("a cat, in oil", "blurred, red")),
    ],
)
def test_a_prompt_alone_hears_of_the_whole_only_what_to_avoid(
    view: Any, node: dict[str, str], words: tuple[str, str]
) -> None:
    (made,) = plan_of(
        view, NodeRequest(w=128, h=64, **node), prompt="a room", negative_prompt="blurred",
        model_prompt="in oil", model_negative_prompt="red",
    ).nodes  # fmt: skip
    assert (made.prompt, made.negative_prompt) == words


def test_an_image_hears_the_whole_prompt_after_its_own(view: Any, store: Store) -> None:
    asked = NodeRequest(image=store(), infer=True, prompt="a cat")
    (made,) = plan_of(view, asked, prompt="a room", model_prompt="in oil").nodes
    assert made.prompt == "a cat, a room, in oil"


def test_a_node_has_its_own_parameters_and_else_the_invocations(view: Any, store: Store) -> None:
    own = NodeRequest(**LEFT, guidance_scale=3.0, num_inference_steps=5)
    image = NodeRequest(x=64, image=store(), infer=True, strength=0.25)
    first, second = plan_of(
        view, own, image, prompt="x", guidance_scale=9.0, num_inference_steps=12, strength=0.5
    ).nodes
    assert (first.guidance_scale, first.num_inference_steps, first.strength) == (3.0, 5, 0.5)
    assert (second.guidance_scale, second.num_inference_steps, second.strength) == (9.0, 12, 0.25)


def test_a_node_that_covers_the_canvas_is_planned_like_the_call_without_it(view: Any) -> None:
    node = NodeRequest(w=128, h=64, prompt="a cat", scale_to_model_size=False)
    with_it, without = plan_of(view, node, seed=1), plan_of(view, prompt="a cat", seed=1)
    assert with_it.nodes == without.nodes
    assert kinds(with_it) == kinds(without) == ["Diffuse", "Save"]


def test_what_is_missing_is_said_at_once_with_paths(view: Any) -> None:
    found = faults_of(
        view, NodeRequest(prompt="a"), NodeRequest(w=8, prompt="b"), NodeRequest(w=8, h=8),
        NodeRequest(w=8, h=8, prompt="c", infer=True, inpaint=True), scheduler="nope",
    )  # fmt: skip
    assert found["nodes[0].w"] == "Node 0 missing width, pass 'w' or an image"
    assert found["nodes[0].h"] == "Node 0 missing height, pass 'h' or an image"
    assert found["nodes[1].h"] == "Node 1 missing height, pass 'h' or an image"
    assert found["nodes[2]"].startswith("Can't assemble a node from arguments")
    assert "give `image` too" in found["nodes[3].infer"]
    assert "give `image` too" in found["nodes[3].inpaint"]
    assert "scheduler" in found
    assert "prompt" not in found


def test_too_many_pixels_are_refused(view: Any) -> None:
    found = faults_of(view, NodeRequest(w=16384, h=16384, prompt="a"), samples=2)
    assert "make it smaller" in found["nodes[0].w"]


def test_nodes_outside_the_canvas_are_left_out_and_told(view: Any) -> None:
    out = NodeRequest(x=128, w=64, h=64, prompt="out")
    above = NodeRequest(y=-64, w=64, h=64, prompt="out")
    across = NodeRequest(x=-32, y=-8, w=64, h=64, prompt="in")
    plan = plan_of(view, out, above, across)
    assert [node.prompt for node in plan.nodes] == ["in"]
    assert plan.nodes[0].bounds.to_json() == [[-32, -8], [32, 56]]
    assert plan.nodes[0].seed_offset == 2 * SEED_STRIDE
    assert sum("outside the canvas of 128 x 64 px" in note for note in plan.notes) == 2


def test_without_any_node_on_the_canvas_the_invocation_is_drawn(view: Any) -> None:
    plan = plan_of(view, NodeRequest(x=500, w=64, h=64, prompt="out"), prompt="a room")
    assert [node.prompt for node in plan.nodes] == ["a room"]
    assert kinds(plan) == ["Diffuse", "Save"]


def test_an_image_is_laid_as_it_is(view: Any, store: Store) -> None:
    image = store((32, 48))
    plan = plan_of(view, NodeRequest(x=8, image=image, prompt="unheard"))
    (node,) = plan.nodes
    assert node.paste
    assert node.bounds.to_json() == [[8, 0], [40, 48]]
    assert kinds(plan) == ["Lay", "Paste", "Flatten", "Save"]
    assert progress_ticks(plan) == 1
    assert any("node 0: the image is laid as it is" in note for note in plan.notes)


def test_what_is_empty_of_an_image_is_painted_first(view: Any, store: Store) -> None:
    asked = NodeRequest(w=64, h=64, image=store((32, 32)), infer=True, strength=0.5, prompt="a cat")
    plan = plan_of(view, asked)
    (node,) = plan.nodes
    (child,) = node.children
    assert (child.outpaint, child.strength, child.image) == (True, 1.0, asked.image)
    assert (node.strength, node.paints, node.fit) == (0.5, False, None)
    shown = plan.to_json()["nodes"][0]
    assert (shown["image"], shown["children"][0]["image"]["filename"]) == (0, asked.image.path)  # type: ignore[union-attr]
    steps = order(plan)
    assert [type(step).__name__ for step in steps] == ["Diffuse", "Diffuse", "Paste", "Flatten", "Save"]
    assert steps[0].once  # type: ignore[union-attr]
    assert progress_ticks(plan) == (40 + 1 + 2 + 4) + (20 + 1 + 1 + 2) + 1


def test_a_full_image_has_no_child(view: Any, store: Store) -> None:
    (node,) = plan_of(view, NodeRequest(image=store(), infer=True, prompt="a cat")).nodes
    assert node.children == ()
    assert node.image is not None


@pytest.mark.parametrize("flags", [{}, {"inpaint": True}])
def test_a_mask_is_painted(view: Any, store: Store, flags: dict[str, bool]) -> None:
    asked = NodeRequest(image=store(), mask=store(mode="L"), prompt="a cat", strength=0.5, **flags)
    (node,) = plan_of(view, asked).nodes
    assert (node.mask, node.strength, node.children, node.paste) == (asked.mask, 0.5, (), False)


def test_a_mask_that_is_not_to_be_used(view: Any, store: Store) -> None:
    asked = NodeRequest(image=store(), mask=store(mode="L"), inpaint=False)
    plan = plan_of(view, asked)
    assert plan.nodes[0].paste
    assert plan.nodes[0].mask is None
    assert "node 0: the mask is not used, as inpaint is false" in plan.notes


def test_inpaint_paints_what_is_empty(view: Any, store: Store) -> None:
    asked = NodeRequest(image=store(mode="RGBA"), inpaint=True, prompt="a cat", strength=0.5)
    (node,) = plan_of(view, asked).nodes
    assert (node.outpaint, node.strength) == (True, 1.0)
    full = plan_of(view, NodeRequest(image=store(), inpaint=True, prompt="a cat"))
    assert full.nodes[0].paste
    assert any("nothing to repaint" in note for note in full.notes)


def test_painted_then_drawn_over(view: Any, store: Store) -> None:
    asked = NodeRequest(image=store(), mask=store(mode="L"), infer=True, prompt="a cat", strength=0.5)
    (node,) = plan_of(view, asked).nodes
    assert node.mask is None
    assert node.children[0].mask is not None


def test_flags_of_a_controlnet(view: Any, store: Store) -> None:
    found = faults_of(view, NodeRequest(image=store(), control=True, prompt="x"))
    assert found == {"nodes[0].controlnet": "is missing, and control needs one; name it"}
    found = faults_of(view, NodeRequest(image=store(), controlnet="nope", prompt="x"))
    assert "there is no ControlNet 'nope'" in found["nodes[0].controlnet"]
    plan = plan_of(view, NodeRequest(image=store(), control=False, controlnet="nope"))
    assert plan.nodes[0].paste
    assert "node 0: no ControlNet is used, as control is false" in plan.notes


def test_flags_of_a_controlnet_without_an_image(view: Any) -> None:
    found = faults_of(view, NodeRequest(**LEFT, control=True))
    assert found == {"nodes[0].controlnet": "is missing, and control needs one; name it"}
    assert plan_of(view, NodeRequest(**LEFT, control=False, controlnet="nope")).nodes[0].controls == ()


def test_a_missing_remover_is_a_fault_of_the_node(view: Any, remover: str) -> None:
    view.folders = Folders(view.folders.root / "elsewhere")
    found = faults_of(view, NodeRequest(**LEFT), NodeRequest(**RIGHT, remove_background=True))
    assert list(found) == ["nodes[1].remove_background"]
    assert f"{remover}.onnx" in found["nodes[1].remove_background"]


def test_the_invocations_own_image_lies_below(view: Any, store: Store) -> None:
    plan = plan_of(view, NodeRequest(**RIGHT), prompt="a room", image=store((128, 64)))
    below, node = plan.nodes
    assert below.bounds.to_json() == [[0, 0], [128, 64]]
    assert (below.seed_offset, node.seed_offset) == (0, SEED_STRIDE)
    assert plan.remainder is None


def test_a_mask_of_the_invocation_needs_its_image(view: Any, store: Store) -> None:
    found = faults_of(view, NodeRequest(**LEFT), prompt="a room", mask=store(mode="L"))
    assert "there is no image" in found["mask"]


def test_a_removed_background_leaves_what_is_painted(view: Any, remover: str) -> None:
    cat = NodeRequest(**LEFT, remove_background=True)
    dog = NodeRequest(**RIGHT, remove_background=True)
    plan = plan_of(view, cat, dog, prompt="a room", samples=3)
    assert plan.remover is not None
    assert plan.remover.method == remover
    assert kinds(plan) == [
        "Diffuse", "RemoveBackground", "Paste", "Diffuse", "RemoveBackground", "Paste", "Fill", "Flatten", "Save",
    ]  # fmt: skip
    assert plan.remainder is not None
    assert (plan.remainder.node.prompt, plan.remainder.feather_px) == ("a room", 64 // 16)
    assert progress_ticks(plan) == 2 * 45 + 3 * (45 + 2) + 1


@pytest.mark.usefixtures("remover")
def test_an_image_loses_its_background_before_all_else(view: Any, store: Store) -> None:
    def node(**flags: Any) -> Node:
        (made,) = plan_of(
            view, NodeRequest(w=128, h=64, image=store(), prompt="a", remove_background=True, **flags)
        ).nodes
        return made

    laid = node()
    assert (laid.paste, laid.remove_background, laid.fill_background) == (True, True, False)
    filled = node(fill_background=True)
    assert (filled.fill_background, filled.outpaint, filled.strength) == (True, True, 1.0)
    over = node(infer=True)
    assert (over.remove_background, over.children[0].fill_background) == (False, True)
    found = faults_of(view, NodeRequest(image=store(), infer=True, remove_background=True))
    assert "where the background is removed" in found["nodes[0].prompt"]


@pytest.mark.usefixtures("remover")
def test_the_whole_picture_loses_its_background_last(view: Any) -> None:
    plan = plan_of(view, NodeRequest(**LEFT), NodeRequest(**RIGHT), remove_background=True)
    assert not any(node.remove_background for node in plan.nodes)
    assert kinds(plan)[-3:] == ["Flatten", "RemoveBackground", "Save"]


def test_windows_of_the_largest_node_count(view: Any) -> None:
    plan = plan_of(
        view, NodeRequest(w=128, h=64, prompt="a"), NodeRequest(**RIGHT), chunking_size=32, scheduler="heun"
    )
    assert any(note.startswith("3 windows") for note in plan.notes)
