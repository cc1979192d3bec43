"""Loads models from folders in diffusers' layout and from single files, without any network."""

from __future__ import annotations

from collections.abc import Iterable

from stretto.host import Loader, LoaderSpec, hookimpl

__all__ = ["register_loaders"]


@hookimpl
def register_loaders() -> Iterable[LoaderSpec]:
    """Offer both ways to load a model, one for ControlNets and one for the safety checker."""
    return [
        LoaderSpec(name="diffusers", title="Folders in diffusers' layout", build=_build_folder),
        LoaderSpec(
            name="single-file",
            title="Single files of the original layout: .safetensors, and .ckpt read as data only",
            build=_build_single,
        ),
        LoaderSpec(name="unet", title="UNets alone, with the other parts of a model", build=_build_unet),
        LoaderSpec(name="controlnet", title="ControlNets, in folders and single files", build=_build_control),
        LoaderSpec(name="safety-checker", title="Stable Diffusion's safety checker", build=_build_safety),
    ]


def _build_folder() -> Loader:
    from .folder import FolderLoader

    return FolderLoader()


def _build_single() -> Loader:
    from .single import SingleFileLoader

    return SingleFileLoader()


def _build_unet() -> Loader:
    from .alone import UnetLoader

    return UnetLoader()


def _build_control() -> Loader:
    from .control import ControlNetLoader

    return ControlNetLoader()


def _build_safety() -> Loader:
    from .safety import SafetyCheckerLoader

    return SafetyCheckerLoader()
