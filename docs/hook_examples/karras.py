"""Offers Euler's scheduler with Karras' noise levels."""

from stretto.host import SchedulerSpec, hookimpl


def build(config):
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler.from_config(config, use_karras_sigmas=True)


@hookimpl
def register_schedulers():
    return [SchedulerSpec(name="karras", title="Euler, Karras' noise levels", aliases=("edsk",), build=build)]
