"""Words of other releases: what they are read as, what is told, and who is blamed."""

from __future__ import annotations

import pytest
from stretto.api.aliases import UNREAD, WORDS, read_aliases
from stretto.api.inbox import ImageInbox
from stretto.api.parse import parse_invocation
from stretto.host.contracts.request import InvocationRequest
from stretto.host.errors import InvalidRequestError
from stretto.host.settings import Settings


@pytest.fixture
def inbox(folders):
    return ImageInbox(folders, Settings(), [folders.images, folders.inputs])


def faults(payload, inbox):
    with pytest.raises(InvalidRequestError) as caught:
        parse_invocation(payload, inbox)
    return {fault.field: fault.message for fault in caught.value.faults}


READ = [
    ({"inference_steps": 9}, {"num_inference_steps": 9}),
    ({"checkpoint": "a.ckpt"}, {"model": "a.ckpt"}),
    ({"refiner_denoising_strength": 0.5}, {"refiner_strength": 0.5}),
    ({"tiling_size": 256}, {"size": 256}),
    ({"tiling_stride": 32}, {"chunking_size": 32}),
    ({"tiling_unet": False}, {"chunking_size": 0}),
    ({"tiling_unet": "false", "tiling_stride": 32}, {"chunking_size": 0}),
    ({"tiling_mask_type": "constant"}, {"chunking_blur": 0}),
    ({"tiling_mask_type": "bilinear", "tiling_size": 256}, {"chunking_blur": 64, "size": 256}),
    ({"chunking_mask_type": "bilinear", "size": 128}, {"chunking_blur": 32, "size": 128}),
    (
        {"upscale": {"method": "lanczos", "amount": 4}},
        {"upscale": ("lanczos",), "outscale": 4, "upscale_iterative": False, "upscale_diffusion": False},
    ),
    (
        {"upscale_steps": [{"method": "lanczos"}, "nearest"]},
        {"upscale": ("lanczos", "nearest"), "outscale": 4, "upscale_iterative": True},
    ),
    (
        {
            "prompt": "a cat",
            "upscale": [
                {
                    "method": "lanczos",
                    "amount": "2",
                    "strength": 0.3,
                    "inference_steps": 30,
                    "guidance_scale": 5,
                },
                {
                    "method": "lanczos",
                    "prompt": "fur",
                    "controlnet": "tile",
                    "controlnet_scale": 0.5,
                    "tiling_stride": 32,
                },
            ],
        },
        {
            "outscale": 4,
            "upscale_diffusion": True,
            "upscale_diffusion_strength": (0.3, 0.0),
            "upscale_diffusion_steps": (30, 100),
            "upscale_diffusion_guidance_scale": (5.0, 12.0),
            "upscale_diffusion_prompt": ("a cat", "fur"),
            "upscale_diffusion_controlnet": (None, "tile"),
            "upscale_diffusion_controlnet_scale": (1.0, 0.5),
            "upscale_diffusion_chunking_size": 32,
            "upscale_diffusion_scale_chunking_size": False,
        },
    ),
]


@pytest.mark.parametrize(("given", "read"), READ)
def test_a_word_is_read_and_told(inbox, given, read):
    request = parse_invocation(given, inbox)
    assert {name: getattr(request, name) for name in read} == read
    told = [word for word in given if word in WORDS]
    assert [word for word in told if not any(f"'{word}'" in note for note in request.notes)] in (
        [],
        ["tiling_stride"],
    )
    assert request.notes


def test_our_own_words_tell_nothing(inbox):
    payload = {"num_inference_steps": 9, "upscale": ["lanczos", "nearest"], "outscale": 4, "nodes": []}
    assert parse_invocation(payload, inbox).notes == ()


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"inference_steps": 12, "num_inference_steps": 9}, "num_inference_steps", 9),
        ({"tiling_size": 12, "size": 64}, "size", 64),
        ({"tiling_unet": False, "chunking_size": 16}, "chunking_size", 16),
        ({"tiling_mask_type": "constant", "chunking_blur": 16}, "chunking_blur", 16),
        ({"upscale_steps": [{"method": "nearest"}], "upscale": "lanczos"}, "upscale", ("lanczos",)),
    ],
)
def test_the_word_itself_wins_and_that_is_told(inbox, given, name, value):
    request = parse_invocation(given, inbox)
    assert getattr(request, name) == value
    (word,) = [word for word in given if word in WORDS]
    own = next(key for key in given if key != word)
    assert request.notes == (f"'{word}' was not read, as '{own}' was sent too",)


@pytest.mark.parametrize("word", sorted(UNREAD))
def test_what_does_nothing_says_so(inbox, word):
    request = parse_invocation({word: [1]}, inbox)
    (note,) = request.notes
    assert note.startswith(f"'{word}' is of another release and does nothing here: ")
    assert request == InvocationRequest(notes=request.notes)


def test_null_is_nothing(inbox):
    assert parse_invocation(dict.fromkeys(WORDS), inbox) == InvocationRequest()


BLAMED = [
    ({"inference_steps": "many"}, "inference_steps", "is not a whole number"),
    ({"tiling_unet": "perhaps"}, "tiling_unet", '"perhaps" is not true or false'),
    ({"tiling_mask_type": "gausian"}, "tiling_mask_type", "did you mean 'gaussian'?"),
    ({"tiling_mask_type": 4}, "tiling_mask_type", "4 is not one of constant"),
    ({"upscale": [{"amount": 2}]}, "upscale[0].method", "name an upscaler"),
    ({"upscale": [{"method": "lanczos", "amount": 3}]}, "upscale[0].amount", "3 is not one of 2, 4, 8, 16"),
    ({"upscale": [{"method": "lanczos", "amount": True}]}, "upscale[0].amount", "true is not one of"),
    ({"upscale": [{"method": "a", "amount": 4}, {"method": "b"}]}, "upscale", "enlarge 2 times each"),
    ({"upscale": {"method": "lanczos"}, "outscale": 2}, "outscale", "leave it out"),
    (
        {"upscale": [{"method": "a", "strength": 7}]},
        "upscale[0].strength",
        "7 is not a number from 0.0 to 1.0",
    ),
    ({"upscale_steps": [4]}, "upscale_steps[0]", "4 is not an object with method and amount"),
    ({"layers": [], "nodes": []}, "layers", "send one"),
    ({"layers": 4}, "layers", "4 is not a list"),
    ({"layers": [{"w": "wide"}]}, "layers[0].w", "is not a whole number"),
    ({"layers": [{"visibility": "hiden"}]}, "layers[0].visibility", "did you mean 'hidden'?"),
    ({"layers": [{"visibility": "hidden"}, {"image": 4}]}, "layers[1].image", "is not a data URI"),
    (
        {"layers": [{"control_units": [{"scale": "x", "controlnet": "canny"}]}]},
        "layers[0].control_units[0].scale",
        "x",
    ),
]


@pytest.mark.parametrize(("given", "field", "words"), BLAMED)
def test_faults_keep_the_callers_names(inbox, given, field, words):
    found = faults(given, inbox)
    assert field in found, found
    assert words in found[field]


def test_layers_are_nodes(inbox):
    request = parse_invocation(
        {
            "layers": [
                {"x": 0, "y": 8, "w": 64, "h": 64, "prompt": "a cat", "opacity": 1, "fit": "cover"},
                {"w": 64, "h": 64, "visibility": "hidden", "prompt": "gone"},
                {
                    "w": 64,
                    "h": 64,
                    "visibility": "denoised",
                    "remove_background": True,
                    "control_units": [{"controlnet": "canny", "scale": 0.5, "start": 0.1, "end": 0.9}],
                    "ip_adapter_scale": 0.4,
                },
            ]
        },
        inbox,
    )
    first, second = request.nodes
    assert (first.x, first.y, first.w, first.h, first.prompt, first.fit) == (0, 8, 64, 64, "a cat", "cover")
    assert (second.infer, second.control, second.remove_background) == (True, True, True)
    assert [(unit.controlnet, unit.scale, unit.start, unit.end) for unit in second.controlnets] == [
        ("canny", 0.5, 0.1, 0.9)
    ]
    assert request.notes == (
        "'layers' was read as 'nodes'",
        "'layers[1]' was left out: it is hidden, and no ControlNet follows it",
        "'layers[2].control_units' was read as 'controlnets'",
        "'layers[2].visibility' denoised was read as 'infer'",
        "'layers[2].ip_adapter_scale' does nothing here",
    )


def test_control_images_are_controlnets(inbox):
    unit = {"controlnet": "canny", "conditioning_scale": 0.4, "process": False, "fit": "cover", "end": None}
    request = parse_invocation({"control_images": unit}, inbox)
    (control,) = request.controlnets
    assert (control.controlnet, control.scale, control.process, control.end) == ("canny", 0.4, False, 1.0)
    assert request.notes == (
        "'control_images[0].fit' does nothing here",
        "'control_images' was read as 'controlnets'",
    )
    assert "control_images[0].scale" in faults({"control_images": [{**unit, "scale": "x"}]}, inbox)
    assert "control_images[0].image" in faults({"control_images": [{**unit, "control_image": 4}]}, inbox)


def test_a_word_of_ours_is_never_an_alias():
    names = set(InvocationRequest.__dataclass_fields__)
    assert names.isdisjoint(WORDS)


def test_reading_leaves_the_body_alone():
    body = {"layers": [{"w": 1}], "upscale": [{"method": "a"}], "inference_steps": 3}
    before = {"layers": [{"w": 1}], "upscale": [{"method": "a"}], "inference_steps": 3}
    read_aliases(body)
    assert body == before


def test_the_plan_tells(still):
    answer = still.client.post("/api/invoke", {"prompt": "x", "inference_steps": 3, "freeu_factors": [1]})
    assert answer.status == 200
    job = still.store.claim()
    assert job.plan.notes[:2] == (
        "'inference_steps' was read as 'num_inference_steps'",
        "'freeu_factors' is of another release and does nothing here: FreeU is not there",
    )
    assert job.plan.nodes[0].num_inference_steps == 3
