"""The starter model's card: what it is, what it was trained on, how, and how well it does."""

from pathlib import Path
from typing import Final

import torch

from training.starter.world import COLOURS, PLACES, SHAPES, THINGS

CARD_NAME: Final = "README.md"
WORK_FOLDER: Final = Path("training/.work")

MEANINGS: Final[dict[str, str]] = {
    "ground": "the background's colour is the one asked for",
    "shape": "one shape was asked for, and that shape and nothing else is there",
    "thing": "one thing was asked for, and that thing and nothing else is there",
    "colour": "each shape that is there has its colour",
    "place": "what is there is where it was asked for (of pictures that hold all that was asked for)",
    "both": "two were asked for, and these two, in their colours, and nothing else are there",
    "all": "all of the above that the prompt asks for",
}

CARD: Final = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
tags: [stable-diffusion, tiny, synthetic]
---

# Starter

A very small latent diffusion model in Stable Diffusion 1.x's own classes, made to be shipped with the code: it draws
plain pictures of 128 x 128 pixels in well under a second on two CPU cores, offline.

```python
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained("plugins/starter/model")
image = pipeline("a cat on the left and a dog on the right of a green background", num_inference_steps=20,
                 guidance_scale=7, height=128, width=128).images[0]
```

![Pictures of held-out prompts](../../../docs/images/starter-samples.png)

## What it knows

- {shape_count} shapes: {shapes};
- {thing_count} things: {things};
- {colour_count} colours of shapes and backgrounds: {colours};
- places: {places}; small and large; left of, right of, above, below, next to.

One or two figures a picture, on a plain background, with words such as "a small red circle in the top left corner on
a white background" or "a cat above a yellow star". It knows nothing else: other words are ignored, more or less.

## Parts

| Part | Class | Parameters |
|---|---|---|
| `unet` | `UNet2DConditionModel` | {unet:.2f} M |
| `vae` | `AutoencoderKL`, factor 8, 4 latent channels, scaling .18215 | {vae:.2f} M |
| `text_encoder` | `CLIPTextModel`, 2 layers of 128 | {text:.2f} M |
| `tokenizer` | `CLIPTokenizer`, {words} words | |

Together {megabytes:.1f} MB in half precision. Noise: `scaled_linear` .00085 to .012, predicts epsilon.

## Data, training, licence

Every training picture was drawn by `training/starter`: shapes by signed distance, things from Noto Color Emoji
(SIL Open Font License 1.1; Debian's `fonts-noto-color-emoji`), captions by a small grammar. No photograph, no
downloaded data set, no other model's weights. One in twenty (colour, shape, background) and (thing, background,
relation) combinations was held out of all training and is what the figures are measured on. The denoiser was trained
for {steps} steps of 48 pictures on CPU cores. Weights and code: Apache-2.0. `training/README.md` tells how to make it again.

## Figures

300 held-out prompts, 20 DDIM steps, guidance 7, read by an independent judge (`plugins/starter/judge`: a detector
trained on renders only, and rules that read pixels). `python -m training.starter.evaluate --card` writes this table.

| | Reached | Of | Aimed at | Meaning |
|---|---|---|---|---|
{rows}

One picture of 20 steps, model loaded: {speed}.

## Limits

PNDM diverges at guidance 7 below 50 steps (it is fine at guidance 1.5); DDIM, DPM++ 2M, Euler and UniPC are fine at 20.

A toy with a closed world: two figures at most, no texture, no scenery. It is meant for tests, for trying a host out
without a download, and for showing what each plugin does; not for pictures anybody needs.
"""


def write_card(
    folder: Path, shares: dict[str, float], counts: dict[str, int], speed: str, bars: dict[str, float]
) -> None:
    """Write README.md beside the exported weights."""
    sizes = {part: (folder / part).glob("*.safetensors") for part in ("unet", "vae", "text_encoder")}
    bytes_of = {part: sum(path.stat().st_size for path in paths) for part, paths in sizes.items()}
    rows = [
        f"| {name} | {shares[name]:.1%} | {counts[name]} | {f'{bars[name]:.0%}' if name in bars else ''} | {meaning} |"
        for name, meaning in MEANINGS.items()
    ]
    text = CARD.format(
        shape_count=len(SHAPES),
        shapes=", ".join(SHAPES),
        thing_count=len(THINGS),
        things=", ".join(THINGS),
        colour_count=len(COLOURS),
        colours=", ".join(COLOURS),
        places=", ".join(PLACES),
        unet=bytes_of["unet"] / 2e6,
        vae=bytes_of["vae"] / 2e6,
        text=bytes_of["text_encoder"] / 2e6,
        words=_count_words(folder),
        megabytes=sum(bytes_of.values()) / 1e6,
        steps=_count_steps(),
        rows="\n".join(rows),
        speed=speed,
    )
    (folder / CARD_NAME).write_text(text)


def _count_words(folder: Path) -> int:
    return (folder / "tokenizer" / "vocab.json").read_text().count('": ')


def _count_steps() -> str:
    checkpoint = WORK_FOLDER / "unet.checkpoint.pt"
    if not checkpoint.exists():
        return "an unknown number of"
    return f"{torch.load(checkpoint, map_location='cpu', weights_only=True)['step']:,}"
