"""Reads the two files of an ncnn network back into the tensors of the Real-ESRGAN that it was made from.

The format: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

HALF = 0x01306B47  # marks weights in 16 bits


def layers(stem: Path):
    """Give (kind, weight, bias) of every convolution and PReLU, in order."""
    blob, offset = stem.with_suffix(".bin").read_bytes(), 0
    for line in stem.with_suffix(".param").read_text().splitlines()[2:]:
        words = line.split()
        if not words or words[0] not in ("Convolution", "PReLU"):
            continue
        inward, outward = int(words[2]), int(words[3])
        values = dict(word.split("=", 1) for word in words[4 + inward + outward :])
        channels = int(values["0"])
        if words[0] == "PReLU":
            yield "PReLU", torch.from_numpy(np.frombuffer(blob, "<f4", channels, offset).copy()), None
            offset += channels * 4
            continue
        count, side = int(values["6"]), int(values["1"])
        (mark,) = np.frombuffer(blob, "<u4", 1, offset)
        assert mark == HALF
        weight = np.frombuffer(blob, "<f2", count, offset + 4).astype(np.float32)
        offset += 4 + (count * 2 + 3) // 4 * 4
        bias = np.frombuffer(blob, "<f4", channels, offset).copy()
        offset += channels * 4
        shaped = weight.reshape(channels, count // (channels * side * side), side, side)
        yield "Convolution", torch.from_numpy(shaped.copy()), torch.from_numpy(bias)
    assert offset == len(blob)


def esrgan(stem: Path):
    """Give the tensors of an RRDBNet by Real-ESRGAN's names."""
    found = list(layers(stem))
    blocks = (len(found) - 6) // 15
    names = ["conv_first"]
    names += [f"body.{b}.rdb{d}.conv{c}" for b in range(blocks) for d in (1, 2, 3) for c in (1, 2, 3, 4, 5)]
    names += ["conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]
    return {
        f"{name}.{part}": value
        for name, (_, weight, bias) in zip(names, found, strict=True)
        for part, value in (("weight", weight), ("bias", bias))
    }


def compact(stem: Path):
    """Give the tensors of an SRVGGNetCompact by Real-ESRGAN's names."""
    tensors = {}
    for index, (_, weight, bias) in enumerate(layers(stem)):
        tensors[f"body.{index}.weight"] = weight
        if bias is not None:
            tensors[f"body.{index}.bias"] = bias
    return tensors
