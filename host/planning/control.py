"""ControlNets of a request: which weights, which image, what processes it; one fault for all that is missing of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..catalog.probe import probe
from ..contracts.models import Family, WeightFile, WeightKind
from ..contracts.plan import Control, Follower, Preprocessing
from ..contracts.protocols import HostView
from ..contracts.request import ControlRequest, InvocationRequest
from ..contracts.specs import ControlNetSpec, ModelOffer, PreprocessorSpec
from ..errors import BadRequestError, NotFoundError, WeightsError
from .files import fetched_by, find_file
from .masks import Voice

__all__ = ["Drawer", "asked_controls", "brought_by", "control_source", "resolve_controls", "resolve_follower"]

KIND = WeightKind.CONTROLNET.value


@dataclass(frozen=True, slots=True)
class Drawer:
    """The model under the ControlNets: its family, and the offer that it comes from, if any."""

    family: Family | None
    offer: ModelOffer | None


def asked_controls(request: InvocationRequest) -> tuple[ControlRequest, ...]:
    """Give the single form and the list as one list."""
    single = () if request.controlnet is None else (ControlRequest(controlnet=request.controlnet),)
    return (*single, *request.controlnets)


def control_source(request: InvocationRequest) -> InvocationRequest:
    """Let the first control image give the canvas its size where nothing else does."""
    images = (request.control_image, *(one.image for one in request.controlnets))
    first = next((image for image in images if image is not None), None)
    if request.image is not None or first is None:
        return request
    return replace(request, width=request.width or first.width, height=request.height or first.height)


def resolve_controls(
    request: InvocationRequest, host: HostView, drawer: Drawer, voice: Voice
) -> tuple[Control, ...]:
    """Resolve every ControlNet that is asked for; `voice` hears what is wrong or missing, and what would do."""
    asked = asked_controls(request)
    if not asked and request.control_image is not None:
        voice.fault("control_image", "is given without a controlnet; name one that is to follow it")
    return tuple(_resolved(request, _Desk(host, drawer, voice), asked))


def resolve_follower(name: str, field: str, host: HostView, drawer: Drawer, voice: Voice) -> Follower | None:
    """Resolve a ControlNet that follows the very picture that is drawn over, processed; None after a fault."""
    desk = _Desk(host, drawer, voice)
    spec = desk.spec(name)
    weights = _own(name, field, desk) if spec is None else _offered(spec, field, desk)
    preprocessing = _preprocessing(spec, desk, field, "") if spec else None
    if weights is None:
        return None
    return Follower(controlnet=spec.name if spec else name, weights=weights, preprocessing=preprocessing)


def brought_by(offer: ModelOffer, name: str) -> WeightFile:
    """Give the ControlNet that a model's offer brings for `name`, called by both their names."""
    return replace(probe(Path(offer.controlnets[name])), name=f"{offer.name}-{name}", family=offer.family)


PROCESSED = " - or send a processed one with process_control_image false"


@dataclass(frozen=True, slots=True)
class _Desk:
    host: HostView
    drawer: Drawer
    voice: Voice

    def spec(self, name: str) -> ControlNetSpec | None:
        specs: dict[str, ControlNetSpec] = dict(self.host.offers("controlnets"))
        return next((spec for spec in specs.values() if name in (spec.name, *spec.aliases)), None)


def _resolved(
    request: InvocationRequest, desk: _Desk, asked: tuple[ControlRequest, ...]
) -> Iterator[Control]:
    singles = len(asked) - len(request.controlnets)
    for position, one in enumerate(asked):
        field = "controlnet" if position < singles else f"controlnets[{position - singles}]"
        spec = desk.spec(one.controlnet)
        weights = _own(one.controlnet, field, desk) if spec is None else _offered(spec, field, desk)
        processes = request.process_control_image if one.process is None else one.process
        preprocessing = _preprocessing(spec, desk) if spec and processes else None
        inverts = request.invert_control_image if one.invert is None else one.invert
        if inverts and processes:
            desk.voice.note(
                "invert_control_image is not used: it is for control images that are not processed"
            )
        image = one.image or request.control_image or request.image
        if image is None:
            desk.voice.fault(field, f"'{one.controlnet}' needs an image to follow; send it as control_image")
        elif one.image is None and request.control_image is None:
            desk.voice.note(f"'{one.controlnet}' follows the image, as no control_image was sent")
        if one.start >= one.end:
            desk.voice.fault(
                field, f"guides from {one.start:g} to {one.end:g} of the steps; start must be below end"
            )
        if weights is not None and image is not None:
            yield Control(
                controlnet=spec.name if spec else one.controlnet,
                weights=weights,
                image=image,
                preprocessing=preprocessing,
                invert=inverts and not processes,
                scale=request.conditioning_scale if one.scale is None else one.scale,
                start=one.start,
                end=one.end,
            )


def _offered(spec: ControlNetSpec, field: str, desk: _Desk) -> WeightFile | None:
    """Find the weights of an offered name: what the model brings itself, then files of its family."""
    drawer = desk.drawer
    if drawer.offer is not None and spec.name in drawer.offer.controlnets:
        return brought_by(drawer.offer, spec.name)
    families = tuple(spec.weights) if drawer.family is None else (drawer.family,)
    names = [name for family in families for name in spec.weights.get(family, ())]
    if not names:
        desk.voice.fault(
            field, f"'{spec.name}' is there for {', '.join(spec.weights)}, and the model is {drawer.family}"
        )
        return None
    for name in names:
        try:
            file = desk.host.resolve_model(name, kinds=(KIND,))
        except NotFoundError:
            continue
        except WeightsError as error:
            desk.voice.fault(field, str(error))
            return None
        return file if _fits(file, field, desk) else None
    folder = desk.host.folders.model_folder(KIND)
    family = next(family for family in families if family in spec.weights)
    desk.voice.fault(
        field,
        f"'{spec.name}' has no weights for {family} here; put one of {', '.join(names)} into {folder}, for instance by: "
        f"{fetched_by(folder, names[0], spec.sources[family])}",
    )
    return None


def _own(name: str, field: str, desk: _Desk) -> WeightFile | None:
    """Find the user's own ControlNet by the name of its file or folder."""
    try:
        file = desk.host.resolve_model(name, kinds=(KIND,))
    except (BadRequestError, WeightsError) as error:
        desk.voice.fault(field, str(error))
        return None
    except NotFoundError:
        offered = ", ".join(sorted(desk.host.offers("controlnets")))
        folder = desk.host.folders.model_folder(KIND)
        desk.voice.fault(
            field, f"there is no ControlNet '{name}'; name one of {offered}, or a file in {folder}"
        )
        return None
    return file if _fits(file, field, desk) else None


def _fits(file: WeightFile, field: str, desk: _Desk) -> bool:
    family = desk.drawer.family
    if file.kind is not WeightKind.CONTROLNET:
        desk.voice.fault(
            field, f"'{file.name}' is no ControlNet but weights of the kind '{file.kind}' ({file.path})"
        )
        return False
    if file.family is not None and family is not None and file.family is not family:
        desk.voice.fault(
            field, f"'{file.name}' is for {file.family}, and the model is {family}; name another one"
        )
        return False
    return True


def _preprocessing(
    spec: ControlNetSpec, desk: _Desk, field: str = "process_control_image", instead: str = PROCESSED
) -> Preprocessing | None:
    """Find what makes the control image, with all its files; a fault names those that are not there."""
    if spec.preprocessor is None:
        return None
    maker: PreprocessorSpec = desk.host.offer("preprocessors", spec.preprocessor)
    folder = desk.host.folders.model_folder(WeightKind.PREPROCESSOR.value)
    found = {name: find_file(folder, (name,), WeightKind.PREPROCESSOR) for name in maker.files}
    missing = [name for name, file in found.items() if file is None]
    if missing:
        commands = " && ".join(fetched_by(folder, name, maker.files[name]) for name in missing)
        desk.voice.fault(
            field,
            f"'{spec.name}' needs {', '.join(missing)} in {folder} to process the control image; fetch it by: "
            f"{commands}{instead}",
        )
        return None
    weights = tuple(file for file in found.values() if file is not None)
    return Preprocessing(method=maker.name, weights=weights)
