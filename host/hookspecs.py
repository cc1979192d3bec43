"""The hooks, in call order; a plugin implements any of them with `@stretto.host.hookimpl`.

Offers are asked for once at start and must not import torch. A hook implementation may name
fewer arguments than its specification.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .contracts.events import Event
    from .contracts.plan import Plan
    from .contracts.protocols import Bench, Frame, HostView
    from .contracts.request import InvocationRequest
    from .contracts.routes import CommandSpec, RouteSpec
    from .contracts.specs import (
        BackgroundRemoverSpec,
        CompilerSpec,
        ControlNetSpec,
        LoaderSpec,
        ModelOffer,
        PatcherSpec,
        PreprocessorSpec,
        SchedulerSpec,
        UpscalerSpec,
        VaeSpec,
    )
    from .contracts.steps import Step

__all__ = ["PROJECT", "HostSpecs", "hookimpl", "hookspec"]

PROJECT = "stretto"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HostSpecs:
    """All hooks; never instantiated, pluggy reads the signatures."""

    @hookspec
    def register_models(self, host: HostView) -> Iterable[ModelOffer]:
        """Offer models whose weights the plugin ships.

        :param host: settings and folders; offers of other plugins are not there yet.
        :return: specs; names must be unique over all plugins.
        """
        raise NotImplementedError

    @hookspec
    def register_schedulers(self, host: HostView) -> Iterable[SchedulerSpec]:
        """Offer noise schedulers for `scheduler` and `multi_scheduler`.

        :param host: settings and folders.
        :return: specs; each `build` gets the model's own scheduler config.
        """
        raise NotImplementedError

    @hookspec
    def register_vaes(self, host: HostView) -> Iterable[VaeSpec]:
        """Offer named VAEs over weight files in the model folders.

        :param host: settings and folders.
        :return: specs for the `vae` parameter.
        """
        raise NotImplementedError

    @hookspec
    def register_loaders(self, host: HostView) -> Iterable[LoaderSpec]:
        """Offer ways to load weights; the first whose `accepts(file)` is true is used.

        :param host: settings and folders.
        :return: specs, asked in the plugins' order.
        """
        raise NotImplementedError

    @hookspec
    def register_patchers(self, host: HostView) -> Iterable[PatcherSpec]:
        """Offer ways to change a loaded model: LoRA, LyCORIS, textual inversions.

        :param host: settings and folders.
        :return: specs; the first whose `accepts(file)` is true is used.
        """
        raise NotImplementedError

    @hookspec
    def register_controlnets(self, host: HostView) -> Iterable[ControlNetSpec]:
        """Offer named ControlNets for the `controlnet` parameter.

        :param host: settings and folders.
        :return: specs; each names its weight files by family, and what makes its control images.
        """
        raise NotImplementedError

    @hookspec
    def register_preprocessors(self, host: HostView) -> Iterable[PreprocessorSpec]:
        """Offer ways to make control images of pictures.

        :param host: settings and folders.
        :return: specs; each `open` gets its files and the device.
        """
        raise NotImplementedError

    @hookspec
    def register_upscalers(self, host: HostView) -> Iterable[UpscalerSpec]:
        """Offer enlargers for the `upscale` parameter.

        :param host: settings and folders.
        :return: specs; each `build` gets the device.
        """
        raise NotImplementedError

    @hookspec
    def register_background_removers(self, host: HostView) -> Iterable[BackgroundRemoverSpec]:
        """Offer networks for the `remove_background` parameter.

        :param host: settings and folders.
        :return: specs; the first one that needs no file, or whose file is in the model folder, is used.
        """
        raise NotImplementedError

    @hookspec
    def register_compilers(self, host: HostView) -> Iterable[CompilerSpec]:
        """Offer ways to compile networks for the `acceleration` parameter.

        :param host: settings and folders.
        :return: specs; each `missing` says why it cannot work here.
        """
        raise NotImplementedError

    @hookspec
    def register_routes(self, host: HostView) -> Iterable[RouteSpec]:
        """Offer routes of the JSON API.

        :param host: settings and folders.
        :return: specs; paths begin with `/api/` and are not the host's own.
        """
        raise NotImplementedError

    @hookspec
    def register_commands(self, host: HostView) -> Iterable[CommandSpec]:
        """Offer commands for the command line.

        :param host: settings and folders.
        :return: specs; names are not the host's own commands'.
        """
        raise NotImplementedError

    @hookspec
    def host_started(self, host: HostView) -> None:
        """Hear that all offers are in and the host takes requests.

        :param host: the complete view.
        """

    @hookspec(firstresult=True)
    def build_plan(self, request: InvocationRequest, host: HostView) -> Plan | None:
        """Resolve a request; pure. The host's own implementation comes last.

        :param request: what was asked, checked for types and ranges.
        :param host: resolves names.
        :return: a plan, or None to leave it to the next plugin. Wrap it to change a plan.
        """

    @hookspec(firstresult=True)
    def run_step(self, step: Step, frame: Frame, bench: Bench) -> Frame | None:
        """Do one step of a plan, in the worker. The host's own implementation comes last.

        :param step: what to do.
        :param frame: the pictures so far.
        :param bench: device, loaded models, progress.
        :return: the new frame, or None to leave it to the next plugin. Wrap it to see or change one.
        """

    @hookspec
    def observe(self, event: Event) -> None:
        """Hear what happens to jobs; what one observer raises is logged against it alone.

        In a server all observers are called one after another on a thread of their own: a slow one keeps the
        others waiting, and nobody else; of more than 10,000 events that wait, the later ones are not told.

        :param event: one of the values in `stretto.host.contracts.events`.
        """

    @hookspec
    def host_stopping(self, host: HostView) -> None:
        """Hear that the host is about to stop; close what was opened.

        :param host: the view, still complete.
        """
