"""Offers a ControlNet by name; its weights go into the folder models/controlnet."""

from stretto.host import ControlNetSpec, Family, hookimpl


@hookimpl
def register_controlnets():
    return [
        ControlNetSpec(
            name="blueprint",
            title="Lines of a plan",
            weights={Family.SD1: ("blueprint.safetensors",)},
            sources={Family.SD1: "https://example.org/blueprint.safetensors"},
            preprocessor="canny",
        )
    ]
