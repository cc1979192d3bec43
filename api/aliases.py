"""Words of other releases into ours: renamed parameters, and those that only mean the same; each is told.

Works on the JSON body before it is checked. Faults keep the names that the caller wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from stretto.host.errors import Fault, did_you_mean

from .enlargements import stages_of
from .fields import shown
from .layers import nodes_of
from .units import controls_of

__all__ = ["RENAMED", "UNREAD", "WORDS", "Reading", "read_aliases"]

# other releases' words -> ours; the word itself wins when both are there
RENAMED = {
    "checkpoint": "model",
    "inference_steps": "num_inference_steps",
    "refiner_denoising_strength": "refiner_strength",
    "tiling_size": "size",
    "tiling_stride": "chunking_size",
}
# what they mean, and why nothing more is done about them
UNREAD = {
    "tiling_vae": "the VAE works in tiles where the device needs it",
    "tiling_mask_kwargs": "windows are blended linearly, over 'chunking_blur' pixels",
    "chunking_mask_kwargs": "windows are blended linearly, over 'chunking_blur' pixels",
    "outpaint": "what an image leaves empty is painted wherever there is a prompt",
    "outpaint_dilate": "the edge of what is painted is 'inpaint_feather' pixels wide",
    "inpainter_vae": "inpainters of the model's family take 'vae', others their own",
    "refiner_vae": "refiners of the model's family take 'vae', others their own",
    "upscale_pipeline": "the refiner draws over what is enlarged, or else the model",
    "freeu_factors": "FreeU is not there",
    "ip_adapter_model": "image prompts are not there",
    "ip_adapter_images": "image prompts are not there",
    "ip_adapter_scale": "image prompts are not there",
    "prompts": "prompts do not change along the way",
    "animation_frames": "nothing moves here",
    "frame_rate": "nothing moves here",
    "state": "no user interface keeps its state in pictures",
}
MASK_TYPES = ("constant", "bilinear", "gaussian")
BLEND_WORDS = ("tiling_mask_type", "chunking_mask_type")


@dataclass(slots=True)
class Reading:
    """A body in our own words, with what is worth telling about each other word that was in it.

    `origins` leads from the paths of our words to what the caller wrote.
    """

    given: dict[str, object]
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)

    def blamed(self, faults: Iterable[Fault]) -> list[Fault]:
        """Give faults with the names that the caller wrote."""
        return [replace(fault, field=self._written(fault.field)) for fault in faults]

    def _written(self, path: str) -> str:
        for ours in sorted(self.origins, key=len, reverse=True):
            if path == ours or (path.startswith(ours) and path[len(ours)] in ".["):
                return self.origins[ours] + path[len(ours) :]
        return path


def read_aliases(payload: Mapping[str, object]) -> Reading:
    """Give the body in our own words; null is the same as leaving a key out."""
    reading = Reading(given={name: value for name, value in payload.items() if value is not None})
    for word, meant in MEANT.items():
        if word in reading.given:
            meant(word, reading)
    for word, name in RENAMED.items():
        if word in reading.given:
            _rename(word, name, reading)
    for word, why in UNREAD.items():
        if reading.given.pop(word, None) is not None:
            reading.notes.append(f"'{word}' is of another release and does nothing here: {why}")
    return reading


def _rename(word: str, name: str, reading: Reading) -> None:
    value = reading.given.pop(word)
    if name in reading.given:
        reading.notes.append(f"'{word}' was not read, as '{name}' was sent too")
        return
    reading.given[name] = value
    reading.origins[name] = word
    reading.notes.append(f"'{word}' was read as '{name}'")


def _one_window(word: str, reading: Reading) -> None:
    """Read `tiling_unet`: false is one window over everything, true is what is done anyway."""
    value = reading.given.pop(word)
    text = value.strip().lower() if isinstance(value, str) else value
    if text in (True, "true", 1, "1"):
        reading.notes.append(f"'{word}' is what is done anyway where a picture is larger than 'size'")
    elif text not in (False, "false", 0, "0"):
        reading.faults.append(Fault(field=word, message=f"{shown(value)} is not true or false"))
    elif "chunking_size" in reading.given:
        reading.notes.append(f"'{word}' was not read, as 'chunking_size' was sent too")
    else:
        reading.given.pop("tiling_stride", None)
        reading.given["chunking_size"] = 0
        reading.notes.append(f"'{word}' false was read as 'chunking_size' 0: one window over everything")


def _blend(word: str, reading: Reading) -> None:
    """Read `tiling_mask_type`: windows without a ramp, or with one over a quarter of their side."""
    value = reading.given.pop(word)
    side = reading.given.get("size", reading.given.get("tiling_size"))
    if value not in MASK_TYPES:
        near = f"; {did_you_mean(value[:60], MASK_TYPES)}" if isinstance(value, str) else ""
        message = f"{shown(value)} is not one of {', '.join(MASK_TYPES)}{near}"
        reading.faults.append(Fault(field=word, message=message))
    elif "chunking_blur" in reading.given:
        reading.notes.append(f"'{word}' was not read, as 'chunking_blur' was sent too")
    elif value == "constant":
        reading.given["chunking_blur"] = 0
        reading.notes.append(f"'{word}' constant was read as 'chunking_blur' 0")
    elif value == "bilinear" and isinstance(side, int):
        reading.given["chunking_blur"] = max(0, side // 4)
        reading.notes.append(
            f"'{word}' bilinear was read as 'chunking_blur' {side // 4}, a quarter of the side"
        )
    else:
        reading.notes.append(
            f"'{word}' {value} is not there: windows are blended linearly, over 'chunking_blur' pixels"
        )


def _follow(word: str, reading: Reading) -> None:
    """Read `control_images` as `controlnets`."""
    reading.given[word], unread = controls_of(word, reading.given[word])
    reading.notes += unread
    _rename(word, "controlnets", reading)


def _enlarge(word: str, reading: Reading) -> None:
    """Read `upscale` and `upscale_steps` where they are objects, one a stage."""
    value = reading.given[word]
    items = value if isinstance(value, list) else [value]
    if word == "upscale" and not any(isinstance(item, Mapping) for item in items):
        return
    del reading.given[word]
    if word != "upscale" and "upscale" in reading.given:
        reading.notes.append(f"'{word}' was not read, as 'upscale' was sent too")
        return
    stages = stages_of(word, items, reading.given)
    reading.given |= stages.given
    reading.notes += stages.notes
    reading.faults += stages.faults
    reading.origins |= stages.origins


def _place(word: str, reading: Reading) -> None:
    """Read `layers` as `nodes`."""
    value = reading.given.pop(word)
    if "nodes" in reading.given:
        reading.faults.append(
            Fault(field=word, message="is another word for nodes, which was sent too; send one")
        )
        return
    layers = nodes_of(value)
    reading.given["nodes"] = layers.nodes
    reading.notes += [f"'{word}' was read as 'nodes'", *layers.notes]
    reading.faults += layers.faults
    reading.origins |= layers.origins


MEANT: dict[str, Callable[[str, Reading], None]] = {
    "tiling_unet": _one_window,
    **dict.fromkeys(BLEND_WORDS, _blend),
    "control_images": _follow,
    "upscale_steps": _enlarge,
    "upscale": _enlarge,
    "layers": _place,
}
# every word that is read here beside our own
WORDS = tuple(sorted({*RENAMED, *UNREAD, *MEANT} - {"upscale"}))
