"""The reference page of the JSON API: prose, and tables of routes and parameters from the code."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

import dataclasses
from typing import get_type_hints

from stretto.api.aliases import RENAMED, WORDS
from stretto.api.routes import ROUTES
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.request import INTERNAL, Adapter, ControlRequest, InvocationRequest
from stretto.host.planning.defaults import DONE
from value_words import default_words, table, value_words

__all__ = ["http_parts"]

INTRO = """
`stretto serve` answers at `http://127.0.0.1:45555` unless `--host` and `--port` say otherwise. Without
authentication, which is how it starts, every caller is the user `noauth` and may do everything; so it listens
to this machine alone unless it is told that it may be reached.

Bodies are JSON objects, whatever their Content-Type says. Answers are `application/vnd.api+json`:
"""
ENVELOPES = """
```json
{"meta": {"params": {}}, "data": {"status": "queued", "uuid": "0123456789abcdef0123456789abcdef"}}
```

```json
{"errors": [{"status": "400", "title": "BadRequestError", "detail": "width: ..."}]}
```

A fault in a body is answered with 400 before anything is queued, one entry a fault, each beginning with the
field. Titles and statuses are on [their page](errors.md). `OPTIONS` is answered everywhere, and every answer has
CORS headers. A trailing slash makes no difference.
"""
LIFE = """
## An invocation

`POST /api/invoke` answers with `status` and `uuid` once the job is in the database. `GET /api/invocation/<uuid>`
says how far it is:

- `queued`: it waits; nothing else is said.
- `processing`: `step` of `total`, `progress` from 0 to 1, `rate` in iterations a second, `duration` in seconds,
  `task` in words, and in `images` the intermediates so far.
- `completed`: `images`, each to be fetched from `/api/invocation/` and the entry, such as `images/<uuid>_0.png`.
- `error`: `message` says why.

A server that is killed takes the job up again when it starts: what was queued is run, and what was running is run
once more. A PNG holds the whole plan in its text chunk `stretto:plan`.
"""
PARAMETERS = """
## Parameters of `POST /api/invoke`

All are optional; null is the same as leaving one out. Keys that are not known are logged and ignored. `stretto
invoke` takes the same with `--set`.
"""
LISTS = """
## Lists

`GET /api/invocation-history` takes `limit` (100 unless set; 0 for all), `offset`, `sort=column:desc`,
`ilike=column:text` (part of the text, any of several) and `filter=column:value` (equal, all of several). `count` in
`meta` is how many there are before limit and offset.

```sh server
curl -sf 'http://127.0.0.1:45555/api/invocation-history?sort=started:desc&limit=5'
curl -sf http://127.0.0.1:45555/api/settings -d '{"idle_timeout_s": 60}'
```
"""

MEANINGS = {
    "model": "A model that a plugin ships, or a file or folder in the model folders; null is the setting `model`.",
    "model_type": "Which kind is meant, if a name could be several.",
    "size": "The side of a window, and of the image unless `width` and `height` are given; null is the model's own. Windows are of whole multiples of 8, images of any size.",
    "vae": "A named VAE instead of the model's own.",
    "inpainter": "The model that fills masks; null is the base model itself.",
    "inpainter_size": "The side of its windows; null is `size`, or its own if it is of another family.",
    "lora": "LoRA files in the folder `models/lora`: a name, or with `weight` (1 unless set), or a list of those.",
    "lycoris": "The same for LyCORIS files in `models/lycoris`.",
    "inversion": "Textual inversions in `models/inversion`: the words that they teach may then stand in prompts.",
    "refiner": "A model that goes over what was drawn: an SDXL refiner, or any base model.",
    "refiner_size": "The side of its windows, to which smaller images are enlarged meanwhile; null is `size`, or its own if it is of another family.",
    "precision": "What the networks compute in; null is the setting `precision`.",
    "prompt": "What to draw. Of any length; `(word:1.2)` and `((word))` weigh.",
    "negative_prompt": "What to keep away from.",
    "model_prompt": "Words that belong to a model; joined to the prompt with less weight.",
    "model_negative_prompt": "The same for the negative prompt.",
    "width": "Any number; drawn in multiples of 8 and cropped back.",
    "height": "As `width`.",
    "seed": "0 is a seed; null draws one, which the plan records.",
    "samples": "How many images at once.",
    "iterations": "How often that is done, one after the other: run i (from 0) takes the seed `seed` + i. Takes the memory of one run.",
    "clip_skip": "How many last layers of the text encoders the prompt is not read from; the negative prompt and the refiner are read in full, as diffusers' pipelines do it.",
    "num_inference_steps": "Denoising steps; null is 40.",
    "guidance_scale": "How strictly the prompt is followed; null is 7.",
    "scheduler": "A noise scheduler; null is the model's own.",
    "multi_scheduler": "The scheduler where the image has more than one window.",
    "chunking_size": "How far windows move, in pixels; 0 draws in one window.",
    "chunking_blur": "Over how many pixels windows are blended.",
    "noise_offset": "How much all of the noise may be shifted, channel by channel: darker and brighter images than without. Try 0.1.",
    "tile": "Make the image seamless, so that copies can be laid beside each other: true, `\"x\"`, `\"y\"`, or `[x, y]` with true or false for each axis.",
    "image": "An image to start from: a data URI, or a path in the server's `images` or `inputs` folder.",
    "strength": "How far to go from `image`: 0 keeps it, 1 forgets it.",
    "fit": "How `image` is brought to `width` and `height`.",
    "anchor": "Where `image` stays when it is fitted.",
    "mask": "What to repaint of `image`, fitted like it: white is repainted, black stays exactly.",
    "invert_mask": "Repaint what is black in `mask` instead.",
    "control_image": "What a ControlNet follows, fitted like `image`; without it, `image` itself.",
    "controlnet": "A ControlNet by name, or by its file or folder in `models/controlnet`; or a list of names and objects with `controlnet`, `image`, `scale`, `start`, `end`, `process` and `invert`.",
    "controlnets": "The list by a name of its own. `start` and `end` are shares of the steps; `scale`, `process` and `invert` are as for all unless set.",
    "conditioning_scale": "How closely a control image is followed.",
    "process_control_image": "Make the control image of a picture first: its edges, depth, poses. `tile` and `inpaint` take any picture as it is.",
    "invert_control_image": "Swap black and white of a control image that is not processed.",
    "scale_to_model_size": "Draw what is smaller than the model larger, up to 3 times, and scale it back.",
    "crop_inpaint": "On a canvas larger than the model, draw only the mask and what is around it.",
    "inpaint_feather": "How many pixels around the mask that is.",
    "refiner_start": "Hand the unfinished image over to the refiner after this share of the steps; null refines the finished one.",
    "refiner_strength": "How far the refiner goes from the finished image; 0 leaves it as it is.",
    "refiner_guidance_scale": "How strictly the refiner follows the prompt.",
    "refiner_aesthetic_score": "What an SDXL refiner is told about beauty.",
    "refiner_negative_aesthetic_score": "What it is told to keep away from.",
    "outscale": "How many times larger the result is; needs `upscale`.",
    "upscale": "An upscaler by name, or a network by its file in the folder `models/upscaler`; or one for each doubling, the last again and again.",
    "upscale_iterative": "Enlarge by doublings instead of at once.",
    "upscale_diffusion": "Draw over what was enlarged, as image-to-image in windows of the model's size. Lists below have an item for each doubling; the last is repeated.",
    "upscale_diffusion_steps": "Denoising steps, of which the share `upscale_diffusion_strength` is done.",
    "upscale_diffusion_guidance_scale": "How strictly the prompt is followed.",
    "upscale_diffusion_strength": "How much is redrawn: 0 nothing, 1 everything.",
    "upscale_diffusion_prompt": "What to draw then; `[]` is the prompt.",
    "upscale_diffusion_negative_prompt": "What to keep away from then; `[]` is the negative prompt.",
    "upscale_diffusion_chunking_size": "How far windows move then, in pixels; null is a quarter of `size`, 0 one window.",
    "upscale_diffusion_chunking_blur": "Over how many pixels windows are blended then; null is a quarter of `size`.",
    "upscale_diffusion_scale_chunking_size": "Whether windows move n times as far at the nth doubling, half of `size` at most.",
    "upscale_diffusion_scale_chunking_blur": "The same for the blending.",
    "fill_background": "With `remove_background` and `image`: draw another background behind the image's subject, by the prompt.",
    "remove_background": "Make what is behind the subject transparent; needs a network in the folder `models/background`.",
    "intermediates": "Whether images are decoded on the way.",
    "image_callback_steps": "After how many steps each.",
}  # fmt: skip


def http_parts() -> list[str]:
    """Give the page's parts, in order; a parameter without a line in MEANINGS fails."""
    rows = [
        (route.method, f"`{route.path}`", (route.handle.__doc__ or "").split("\n")[0]) for route in ROUTES
    ]
    return [
        INTRO,
        ENVELOPES,
        LIFE,
        "## Calls",
        table(("method", "path", "what it does"), rows),
        PARAMETERS,
        table(("parameter", "values", "default", "what it does"), _parameters()),
        "Also understood, from other releases: "
        + ", ".join(f"`{alias}` for `{name}`" for alias, name in sorted(RENAMED.items()))
        + "; "
        + ", ".join(f"`{word}`" for word in WORDS if word not in RENAMED)
        + ". What was read otherwise than it was written stands in the plan's notes.",
        "Part of the contract, and answered with 501 by this version when set: " + ", ".join(_later()) + ".",
        LISTS,
    ]


def _parameters() -> list[tuple[str, ...]]:
    hints = get_type_hints(InvocationRequest, include_extras=True)
    named = {ImageRef: "data URI, path", Adapter: 'text, {"model", "weight"}', ControlRequest: "text, object"}
    return [
        (
            f"`{field.name}`",
            value_words(hints[field.name], named),
            f"`{default_words(field.default)}`",
            MEANINGS[field.name],
        )
        for field in dataclasses.fields(InvocationRequest)
        if field.name in DONE
    ]


def _later() -> list[str]:
    return [
        f"`{field.name}`"
        for field in dataclasses.fields(InvocationRequest)
        if field.name not in DONE and field.name not in INTERNAL
    ]
