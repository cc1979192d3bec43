"""Which prompts get more words, and which."""

import pytest
from stretto.host import InvocationRequest, NodeRequest, StrettoError

pytestmark = pytest.mark.stretto(plugins=["expander"])
PHOTO = {"expander": {"style": "photo", "details": 3}}


def plan_of(host, **values):
    return host.plan(
        InvocationRequest(**{"prompt": "a red circle", "seed": 5, "width": 64, "height": 64, **values})
    )


def test_prompts_stay_as_they_are_until_a_style_is_asked_for(host):
    plan = plan_of(host)
    assert plan.nodes[0].prompt == "a red circle"
    assert plan.notes == plan_of(host, plugins={"expander": {"style": "none"}}).notes


def test_a_medium_and_details_are_added_and_noted(host):
    plan = plan_of(host, plugins=PHOTO)
    first, medium, *details = plan.nodes[0].prompt.split(", ")
    assert (first, medium, len(details)) == ("a red circle", "a photograph", 3)
    assert plan.notes[-1] == f"expander: added {', '.join([medium, *details])}"


def test_a_seed_always_gives_the_same_words(host):
    prompts = [plan_of(host, plugins=PHOTO, seed=seed).nodes[0].prompt for seed in (1, 1, 2, 3, 4)]
    assert prompts[0] == prompts[1]
    assert len(set(prompts)) > 2


def test_every_node_that_has_words_gets_them(host):
    nodes = (NodeRequest(w=64, h=64), NodeRequest(w=64, h=64, prompt="a blue square"))
    plan = plan_of(host, plugins=PHOTO, nodes=nodes)
    assert ["a photograph" in node.prompt for node in plan.nodes] == [True, True]


@pytest.mark.stretto(plugins=["expander"], tables={"expander": {"longest": 2}})
def test_long_prompts_know_what_they_want(host):
    assert plan_of(host, plugins=PHOTO).nodes[0].prompt == "a red circle"


def test_wrong_parameters_are_refused(host):
    with pytest.raises(StrettoError, match="details"):
        plan_of(host, plugins={"expander": {"style": "photo", "details": 9}})


def test_the_picture_follows_the_words(host):
    drawn = [
        host.run_here(plan_of(host, plugins=plugins, num_inference_steps=2)).images[0]
        for plugins in (PHOTO, {})
    ]
    with_words, without = ((host.folders.images / name).read_bytes() for name in drawn)
    assert with_words != without
