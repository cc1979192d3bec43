"""Reads HED's network from a Keras file into the tensors that controlnet-aux's class has.

Xie and Tu 2015, https://arxiv.org/abs/1504.06375: five blocks of VGG, each with an output beside it, fused.
controlnet-aux has no fusion but averages, so its weights go into the outputs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

CONVOLUTIONS = (2, 2, 3, 3, 3)
MEAN = (123.68, 116.779, 103.939)  # of VGG's training pictures: red, green, blue


def tensors(path: Path):
    """Give them by controlnet-aux's names; the first convolution takes red first instead of blue."""
    import h5py

    found = {"norm": torch.tensor(MEAN).view(1, 3, 1, 1)}
    with h5py.File(path) as file:
        shares = np.array(file["fuse/vars/0"]).ravel()
        offset = float(np.array(file["fuse/vars/1"])[0])
        for block, count in enumerate(CONVOLUTIONS, start=1):
            for index in range(count):
                layer = f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"
                weight = np.array(file[f"{layer}/0"]).transpose(3, 2, 0, 1)
                if block == 1 and index == 0:
                    weight = weight[:, ::-1]
                found[f"block{block}.convs.{index}.weight"] = torch.from_numpy(weight.copy())
                found[f"block{block}.convs.{index}.bias"] = torch.from_numpy(np.array(file[f"{layer}/1"]))
            share = float(len(CONVOLUTIONS) * shares[block - 1])
            weight = np.array(file[f"dsn{block}/vars/0"]).transpose(3, 2, 0, 1)
            found[f"block{block}.projection.weight"] = torch.from_numpy(weight.copy()) * share
            bias = torch.from_numpy(np.array(file[f"dsn{block}/vars/1"]))
            found[f"block{block}.projection.bias"] = bias * share + offset
    return found
