"""All that a plugin author imports."""

from __future__ import annotations

from .contracts.events import (
    Event,
    Failed,
    Finished,
    ModelEvicted,
    ModelLoaded,
    Planned,
    Queued,
    Started,
    StepFinished,
    StepProgress,
    StepStarted,
)
from .contracts.models import Family, ModelSpec, Precision, Role, WeightFile, WeightKind
from .contracts.plan import Bounds, Chunking, Diffuse, Node, Plan, Save, Step, Upscale, UpscaleStage
from .contracts.protocols import Bench, Frame, HostView, LoadedModel, Loader, Scheduler, Upscaler
from .contracts.request import InvocationRequest
from .contracts.specs import LoaderSpec, ModelOffer, SchedulerSpec, Spec, UpscalerSpec, VaeSpec
from .errors import StrettoError
from .hookspecs import hookimpl

__all__ = [
    "Bench",
    "Bounds",
    "Chunking",
    "Diffuse",
    "Event",
    "Failed",
    "Family",
    "Finished",
    "Frame",
    "HostView",
    "InvocationRequest",
    "LoadedModel",
    "Loader",
    "LoaderSpec",
    "ModelEvicted",
    "ModelLoaded",
    "ModelOffer",
    "ModelSpec",
    "Node",
    "Plan",
    "Planned",
    "Precision",
    "Queued",
    "Role",
    "Save",
    "Scheduler",
    "SchedulerSpec",
    "Spec",
    "Started",
    "Step",
    "StepFinished",
    "StepProgress",
    "StepStarted",
    "StrettoError",
    "Upscale",
    "UpscaleStage",
    "Upscaler",
    "UpscalerSpec",
    "VaeSpec",
    "WeightFile",
    "WeightKind",
    "hookimpl",
]
