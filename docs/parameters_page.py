"""The reference page of the parameters: tables from the contract's dataclasses, pictures by the starter model."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from typing import Any, get_type_hints

from parameter_examples import EXAMPLES, Example
from stretto.api.aliases import RENAMED, UNREAD, WORDS
from stretto.api.meanings import CONTROL_MEANINGS, MEANINGS, NODE_MEANINGS
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.request import (
    INTERNAL,
    Adapter,
    ControlRequest,
    InvocationRequest,
    NodeRequest,
)
from value_words import default_words, table, value_words

__all__ = ["parameter_parts"]

INTRO = """
What `POST /api/invoke` takes, and `stretto invoke` with `--set`. All are optional; null is the same as leaving one
out, and then the model or the setting decides. The pictures are the starter model's; below each is what was sent
besides, and what was changed from picture to picture. `make gallery` draws them again.

A number may be sent as text (`"30"`), and so may true and false; true and false never serve as numbers. What is out
of range, of another type or of no known word is answered with 400 before anything is queued, all faults in one answer.
"""
NODES = """
## An entry of `nodes`

A rectangle of the canvas. With words alone it is drawn; an image is laid there as it is, drawn over (`infer`),
repainted (`inpaint`) or followed (`control`). What is null is taken from the invocation.
"""
CONTROLS = """
## An entry of `controlnets`
"""
OTHERS = """
## Words of other releases

Each one that was sent leaves a note in the plan. Where our own word is sent too, it wins, which is noted as well.
`upscale` (or `upscale_steps`) also takes objects, one a stage: `method`, `amount` (2, 4, 8 or 16; 2 each where there
are several), and, to draw over, `strength`, `num_inference_steps`, `guidance_scale`, `prompt`, `negative_prompt`,
`controlnet` and `tiling_stride`. `layers` are read as `nodes`: with their names, `visibility` (`denoised` is `infer`;
`hidden` ones only control) and `control_units`.
"""
# What the table says of types that have words of their own.
NAMED = {
    ImageRef: "data URI, path",
    Adapter: 'text, {"model", "weight"}',
    ControlRequest: "text, object",
    NodeRequest: "object",
}
HEADS = ("parameter", "values", "default", "what it does")


def parameter_parts() -> list[str]:
    """Give the page's parts, in order; a parameter without a meaning fails."""
    return [
        INTRO,
        *_sections(),
        NODES,
        _table(NodeRequest, MEANINGS | NODE_MEANINGS),
        CONTROLS,
        _table(ControlRequest, CONTROL_MEANINGS),
        OTHERS,
        table(("word", "read as"), _others()),
    ]


def _sections() -> Iterator[str]:
    for title, names in _titled():
        yield f"## {title}"
        yield _table(InvocationRequest, MEANINGS, names)
        yield from (_picture(name, EXAMPLES[name]) for name in names if name in EXAMPLES)


def _titled() -> list[tuple[str, list[str]]]:
    """Part the parameters by the comments that stand over them in the dataclass."""
    sections: list[tuple[str, list[str]]] = []
    for line in inspect.getsource(InvocationRequest).splitlines():
        if found := re.fullmatch(r"    # (.*)", line):
            sections.append((found[1].capitalize(), []))
        elif (found := re.match(r"    (\w+): ", line)) and found[1] not in INTERNAL:
            sections[-1][1].append(found[1])
    return [(title, names) for title, names in sections if names]


def _table(owner: Any, meanings: dict[str, str], names: list[str] | None = None) -> str:
    hints = get_type_hints(owner, include_extras=True)
    rows = [
        (f"`{field.name}`", value_words(hints[field.name], NAMED), _default(field), meanings[field.name])
        for field in dataclasses.fields(owner)
        if field.name not in INTERNAL and (names is None or field.name in names)
    ]
    return table(HEADS, rows)


def _default(field: dataclasses.Field[Any]) -> str:
    return "required" if field.default is dataclasses.MISSING else f"`{default_words(field.default)}`"


def _picture(name: str, example: Example) -> str:
    changed = ", ".join(f"`{json.dumps(change)}`" for change in example.changes)
    sent = json.dumps(example.request)
    return f"![{name}](../images/parameters/{name}.webp)\n\n`{name}`: `{sent}` with {changed}"


def _others() -> Iterator[tuple[str, str]]:
    for word in WORDS:
        if word in RENAMED:
            yield f"`{word}`", f"`{RENAMED[word]}`"
        elif word in UNREAD:
            yield f"`{word}`", f"nothing: {UNREAD[word]}"
    yield "`control_images`", "`controlnets`"
    yield "`tiling_unet`", "false: `chunking_size` 0; true: what is done anyway"
    yield (
        "`tiling_mask_type`, `chunking_mask_type`",
        "`chunking_blur`: constant is 0, bilinear a quarter of `size`",
    )
