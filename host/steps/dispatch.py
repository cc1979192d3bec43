"""The host's own `run_step`: which function does which kind of step. Imports nothing heavy until asked."""

from __future__ import annotations

from typing import assert_never

from ..contracts.protocols import Bench, Frame
from ..contracts.steps import (
    CheckSafety,
    Compile,
    Diffuse,
    Fill,
    Flatten,
    Lay,
    Paste,
    Rediffuse,
    Refine,
    RemoveBackground,
    Save,
    Step,
    Upscale,
)
from ..hookspecs import hookimpl

__all__ = ["CoreSteps"]


class CoreSteps:
    """Every step of a plan, for plugins to wrap or to forestall."""

    @hookimpl(trylast=True)
    def run_step(self, step: Step, frame: Frame, bench: Bench) -> Frame:
        """Do one step; raises errors of `stretto.host.errors`."""
        from .desk import tidy

        try:
            return self._done(step, frame, bench)
        finally:
            tidy(bench)

    def _done(self, step: Step, frame: Frame, bench: Bench) -> Frame:
        from .safety import among_kept, check_safety

        match step:
            case Diffuse():
                from .diffuse import diffuse

                done = diffuse(step, frame, bench)
            case Refine():
                from .refine import refine

                done = among_kept(refine, step, frame, bench)
            case Lay() | Paste() | Fill() | Flatten():
                from .layers import do_layers

                done = do_layers(step, frame, bench)
            case Upscale():
                from .upscale import upscale

                done = among_kept(upscale, step, frame, bench)
            case Rediffuse():
                from .rediffuse import rediffuse

                done = among_kept(rediffuse, step, frame, bench)
            case RemoveBackground():
                from .background import remove_background

                done = among_kept(remove_background, step, frame, bench)
            case CheckSafety():
                done = check_safety(step, frame, bench)
            case Compile():
                from .compile import compile_engine

                done = compile_engine(step, frame, bench)
            case Save():
                from .save import save

                done = save(frame, bench)
            case _:
                assert_never(step)
        return done
