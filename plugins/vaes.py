"""The named VAEs of the JSON API, over files that the user has put into the model folders."""

from __future__ import annotations

from collections.abc import Iterable

from stretto.host import Family, VaeSpec, hookimpl

__all__ = ["register_vaes"]

SD = (Family.SD1, Family.SD2)
XL = (Family.SDXL, Family.SDXL_REFINER)


@hookimpl
def register_vaes() -> Iterable[VaeSpec]:
    """Offer Stability AI's fine-tuned SD VAEs, SDXL's own, and its variant that decodes in 16 bits.

    Each is known by the published file's name, its `.ckpt` twin and its diffusers folder.
    """
    return [
        VaeSpec(
            name="ema",
            title="SD VAE, fine-tuned, EMA weights",
            aliases=("vae-ft-ema",),
            files=(
                "vae-ft-ema-560000-ema-pruned.safetensors",
                "vae-ft-ema-560000-ema-pruned.ckpt",
                "sd-vae-ft-ema",
            ),
            source="https://huggingface.co/stabilityai/sd-vae-ft-ema-original/resolve/main/vae-ft-ema-560000-ema-pruned.safetensors",
            families=SD,
        ),
        VaeSpec(
            name="mse",
            title="SD VAE, fine-tuned on squared error",
            aliases=("vae-ft-mse",),
            files=(
                "vae-ft-mse-840000-ema-pruned.safetensors",
                "vae-ft-mse-840000-ema-pruned.ckpt",
                "sd-vae-ft-mse",
            ),
            source="https://huggingface.co/stabilityai/sd-vae-ft-mse-original/resolve/main/vae-ft-mse-840000-ema-pruned.safetensors",
            families=SD,
        ),
        VaeSpec(
            name="xl",
            title="SDXL VAE, which overflows in float16",
            aliases=("sdxl",),
            files=("sdxl_vae.safetensors", "sdxl-vae"),
            source="https://huggingface.co/stabilityai/sdxl-vae/resolve/main/sdxl_vae.safetensors",
            families=XL,
            upcast=True,
        ),
        VaeSpec(
            name="xl16",
            title="SDXL VAE, scaled to stay within float16",
            aliases=("sdxl16",),
            files=(
                "sdxl-vae-fp16-fix.safetensors",
                "sdxl_vae_fp16_fix.safetensors",
                "sdxl.vae.safetensors",
                "sdxl-vae-fp16-fix",
            ),
            source="https://huggingface.co/madebyollin/sdxl-vae-fp16-fix/resolve/main/sdxl.vae.safetensors",
            families=XL,
        ),
    ]
