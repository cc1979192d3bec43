"""Writes random weights of controlnet-aux's own classes, as the published files of its detectors have them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

__all__ = ["WRITTEN"]


def _hed() -> dict[str, Any]:
    from controlnet_aux.hed import ControlNetHED_Apache2

    return {"ControlNetHED.pth": ControlNetHED_Apache2().state_dict()}


def _mlsd() -> dict[str, Any]:
    from controlnet_aux.mlsd import MobileV2_MLSD_Large

    return {"mlsd_large_512_fp32.pth": MobileV2_MLSD_Large().state_dict()}


def _pidi() -> dict[str, Any]:
    from controlnet_aux.pidi import pidinet

    tensors = pidinet().state_dict()
    return {
        "table5_pidinet.pth": {"state_dict": {f"module.{name}": value for name, value in tensors.items()}}
    }


def _line() -> dict[str, Any]:
    from controlnet_aux.lineart import Generator

    return {name: Generator(3, 1, 3).state_dict() for name in ("sk_model.pth", "sk_model2.pth")}


def _anime() -> dict[str, Any]:
    from controlnet_aux.lineart_anime import UnetGenerator

    norm = functools.partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)
    return {"netG.pth": UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False).state_dict()}


def _pose() -> dict[str, Any]:
    from controlnet_aux.open_pose.face import FaceNet
    from controlnet_aux.open_pose.model import bodypose_model, handpose_model

    def unblocked(network: Any) -> dict[str, Any]:
        return {name.partition(".")[2]: value for name, value in network.state_dict().items()}

    return {
        "body_pose_model.pth": unblocked(bodypose_model()),
        "hand_pose_model.pth": unblocked(handpose_model()),
        "facenet.pth": FaceNet().state_dict(),
    }


def _depth() -> dict[str, Any]:
    from controlnet_aux.midas.midas.dpt_depth import DPTDepthModel

    network = DPTDepthModel(path=None, backbone="vitb_rn50_384", non_negative=True)
    return {"dpt_hybrid-midas-501f0c75.pt": network.state_dict()}


def _normal() -> dict[str, Any]:
    from controlnet_aux.normalbae import NNET

    shape = SimpleNamespace(
        mode="client", architecture="BN", pretrained="scannet", sampling_ratio=0.4, importance_ratio=0.7
    )
    return {"scannet.pt": {"model": NNET(shape).state_dict()}}


_MADE: dict[str, Callable[[], dict[str, Any]]] = {
    "hed": _hed, "scribble": _hed, "mlsd": _mlsd, "pidi": _pidi, "line": _line, "anime": _anime, "pose": _pose,
    "depth": _depth, "normal": _normal,
}  # fmt: skip


def _write(make: Callable[[], dict[str, Any]], folder: Path) -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # older names of timm and torch
        for name, tensors in make().items():
            torch.save(tensors, folder / name)


# By the detector's name: a function that writes its files into a folder.
WRITTEN = {name: functools.partial(_write, make) for name, make in _MADE.items()}
