"""Offers a VAE by name; its file goes into the folder models/vae."""

from stretto.host import Family, VaeSpec, hookimpl


@hookimpl
def register_vaes():
    return [
        VaeSpec(
            name="film",
            title="Softer highlights",
            files=("film.safetensors", "film.ckpt"),
            families=(Family.SD1, Family.SD2),
            source="https://example.org/film.safetensors",
        )
    ]
