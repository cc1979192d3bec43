"""Every picture is saved in shades of grey."""

from dataclasses import replace

from stretto.host import Save, hookimpl


@hookimpl(wrapper=True)
def run_step(step, frame, bench):
    made = yield
    last = len(bench.ahead) == 1 and isinstance(bench.ahead[0], Save)
    if not last:
        return made
    return replace(made, images=tuple(image.convert("L").convert("RGB") for image in made.images))
