"""Invoking by a stored model's name: what it says stands where the caller says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from stretto.host.contracts.plan import Plan
from stretto.host.contracts.request import Adapter, InvocationRequest
from stretto.host.errors import InvalidRequestError, NotFoundError, StrettoError, did_you_mean

from .aliases import read_aliases
from .kept_parameters import Kept
from .model_form import CONFIG, FRACTIONS
from .models import StoredModel, find_model, model_names
from .plugin_parameters import plan_with_parameters

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

    from .entities import Records

__all__ = ["plan_request", "planner"]

# names of files, unless the caller says that a model is meant
CHECKPOINTS = (".ckpt", ".safetensors")


def planner(
    host: Host, records: Records, payload: Mapping[str, object]
) -> Callable[[InvocationRequest], Plan]:
    """Give what plans the requests of one body: `host.plan`, after stored models are put in."""
    said = frozenset(read_aliases(payload).given)
    return _planning(host, said, records)


def plan_request(host: Host, records: Records, request: InvocationRequest) -> Plan:
    """Plan a request that a plugin made, stored models put in: what differs from its default was said."""
    usual = InvocationRequest()
    said = [one.name for one in fields(request) if getattr(request, one.name) != getattr(usual, one.name)]
    return _planning(host, frozenset(said), records)(request)


def _planning(host: Host, said: frozenset[str], records: Records) -> Callable[[InvocationRequest], Plan]:
    def planned(request: InvocationRequest) -> Plan:
        model = _meant(request, host, records)
        if model is None:
            return plan_with_parameters(
                host, request, lambda checked: _planned_plainly(checked, host, records)
            )
        asked = request.plugins
        kept = Kept(model=model.name, plugins=model.parts.config.get("plugins", {}))
        defaults = {key: value for key, value in defaults_of(model).items() if key not in said}
        given = ["model", *sorted([*defaults, *kept.given(asked)])]
        put_in = replace(
            request,
            model=model.model,
            model_type=None,
            defaults=defaults,
            plugins=kept.under(asked),
            notes=(*request.notes, f"the stored model '{model.name}' gave {', '.join(given)}"),
        )
        return plan_with_parameters(host, put_in, host.plan, lambda fault: kept.blamed(fault, asked))

    return planned


def _meant(request: InvocationRequest, host: Host, records: Records) -> StoredModel | None:
    """Find the stored model that a request means, None where it means something else."""
    name = request.model or host.settings.model
    if request.model_type in ("checkpoint", "diffusers"):
        return None
    model = find_model(records, name)
    return None if request.model_type is None and model is not None and _is_file(name, host) else model


def _planned_plainly(request: InvocationRequest, host: Host, records: Records) -> Plan:
    """Plan what names no stored model; of an unknown name the nearest may be a stored model's."""
    name = request.model or host.settings.model
    if request.model_type == "model" and name not in host.offers("models"):
        raise _unknown(name, [*model_names(records), *host.offers("models")])
    try:
        return host.plan(request)
    except (NotFoundError, InvalidRequestError) as error:
        if request.model_type is not None or _is_known(name, host):
            raise
        files = (file for kind in ("checkpoint", "diffusers") for file in host.library.names(kind))
        unknown = _unknown(name, [*model_names(records), *host.offers("models"), *files])
        if isinstance(error, NotFoundError):
            raise unknown from None
        told = [
            replace(fault, message=str(unknown)) if fault.field == "model" else fault
            for fault in error.faults
        ]
        raise InvalidRequestError(told) from None


def _unknown(name: str, known: Iterable[str]) -> NotFoundError:
    return NotFoundError(f"Unknown diffusion model {name}; {did_you_mean(name, list(dict.fromkeys(known)))}")


def _is_known(name: str, host: Host) -> bool:
    try:
        host.resolve_model(name)
    except NotFoundError:
        return False
    except StrettoError:  # known well enough to say what is wrong with it
        return True
    return True


def _is_file(name: str, host: Host) -> bool:
    # Where a stored model has the name of a file, the file is meant.
    if PurePath(name).suffix.lower() not in CHECKPOINTS:
        return False
    try:
        host.resolve_model(name, kinds=("checkpoint",))
    except StrettoError:
        return False
    return True


def defaults_of(model: StoredModel) -> dict[str, Any]:
    """Give what a stored model says as parameters of an invocation."""
    parts = model.parts
    found: dict[str, Any] = {
        "size": model.size,
        "model_prompt": model.prompt or None,
        "model_negative_prompt": model.negative_prompt or None,
        "refiner": parts.refiner,
        "refiner_size": parts.refiner_size if parts.refiner else None,
        "inpainter": parts.inpainter,
        "inpainter_size": parts.inpainter_size if parts.inpainter else None,
        "scheduler": parts.scheduler,
        "multi_scheduler": parts.multi_scheduler,
        "vae": parts.vae,
        "lora": _adapters(parts.lora),
        "lycoris": _adapters(parts.lycoris),
        "inversion": _adapters(parts.inversion),
    }
    # of two words for one parameter the newer one, which stands later in CONFIG, wins
    for key, name in CONFIG.items():
        if key in parts.config:
            value = parts.config[key]
            found[name] = float(value) if name in FRACTIONS else value
    return {key: value for key, value in found.items() if value not in (None, ())}


def _adapters(rows: list[dict[str, Any]]) -> tuple[Adapter, ...]:
    return tuple(Adapter(**row) for row in rows)
