"""The steps that the paper has, between them, and a picture."""

import pytest
from stretto.host import InvocationRequest
from stretto.host.testing import assert_conforms
from stretto_aligned import TIMESTEPS

pytestmark = pytest.mark.stretto(plugins=["aligned"])
CONFIG = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}


@pytest.mark.parametrize("name", TIMESTEPS)
def test_it_conforms(host, name):
    assert_conforms(host.offer("schedulers", name))


@pytest.mark.parametrize("name", TIMESTEPS)
def test_ten_steps_are_the_papers(host, name):
    scheduler = host.offer("schedulers", name).build(CONFIG)
    scheduler.set_timesteps(10)
    assert tuple(scheduler.timesteps.tolist()) == TIMESTEPS[name]


@pytest.mark.parametrize("steps", [1, 2, 7, 25, 500, 1000])
def test_any_number_of_steps_falls_within_the_models_own(host, steps):
    scheduler = host.offer("schedulers", "aligned").build(CONFIG)
    scheduler.set_timesteps(steps)
    found = scheduler.timesteps.tolist()
    assert len(found) == steps
    assert found == sorted(set(found), reverse=True)
    assert 0 <= found[-1] <= found[0] <= 999


def test_a_picture_is_drawn_with_it(host):
    request = InvocationRequest(
        prompt="a red circle", width=64, height=64, num_inference_steps=2, seed=1, scheduler="aligned"
    )
    assert host.run_here(host.plan(request)).images
