"""ControlNets of a body: a name, an object, a list of both; images go through the inbox and nowhere else."""

from __future__ import annotations

import pytest
from PIL import Image
from stretto.api.inbox import ImageInbox
from stretto.api.parse import parse_invocation
from stretto.host.contracts.request import ControlRequest
from stretto.host.errors import InvalidRequestError
from stretto.host.settings import Settings


@pytest.fixture
def inbox(folders):
    return ImageInbox(folders, Settings(), [folders.images, folders.inputs])


@pytest.fixture
def edges(folders):
    path = folders.inputs / "edges.png"
    Image.new("RGB", (40, 24)).save(path)
    return str(path)


def faults(payload, inbox):
    with pytest.raises(InvalidRequestError) as caught:
        parse_invocation(payload, inbox)
    return {fault.field: fault.message for fault in caught.value.faults}


def test_the_single_form(inbox, edges):
    request = parse_invocation(
        {"controlnet": "canny", "control_image": edges, "conditioning_scale": "0.5"}, inbox
    )
    assert (request.controlnet, request.controlnets, request.conditioning_scale) == ("canny", (), 0.5)
    assert (request.control_image.width, request.control_image.height) == (40, 24)


def test_a_list_takes_names_and_objects(inbox, edges):
    request = parse_invocation(
        {
            "controlnet": [
                "canny",
                {"controlnet": "tile", "image": edges, "scale": 0.5, "start": "0.1", "end": None},
            ]
        },
        inbox,
    )
    assert request.controlnet is None
    first, second = request.controlnets
    assert first == ControlRequest(controlnet="canny")
    assert (second.controlnet, second.scale, second.start, second.end) == ("tile", 0.5, 0.1, 1.0)
    assert second.image.width == 40


def test_one_object_and_the_lists_own_name(inbox, edges):
    one = {"controlnet": "canny", "image": edges, "process": False}
    assert (
        parse_invocation({"controlnet": one}, inbox).controlnets
        == parse_invocation({"controlnets": [one]}, inbox).controlnets
        == parse_invocation({"controlnets": one}, inbox).controlnets
    )


@pytest.mark.parametrize(
    ("value", "field", "words"),
    [
        ([{"controlnet": "canny", "image": "/etc/passwd"}], "controlnets[0].image", "is not a file"),
        (
            [{"controlnet": "canny", "image": {"path": "/etc/passwd"}}],
            "controlnets[0].image",
            "not a data URI",
        ),
        ([{"controlnet": "canny", "scale": 11}], "controlnets[0].scale", "a number from 0.0 to 10.0"),
        ([{"controlnet": "canny", "start": True}], "controlnets[0].start", "true is not a number"),
        ([{"image": "x"}], "controlnets[0].controlnet", "is missing"),
        ([7], "controlnets[0]", "an object with controlnet, image"),
        (["canny"] * 65, "controlnets", "at most 64"),
    ],
)
def test_faults(inbox, value, field, words):
    assert words in faults({"controlnet": value}, inbox)[field]
