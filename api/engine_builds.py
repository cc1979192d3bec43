"""Builds of engines as the API sees them: what is asked for, and the invocation that pollers follow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from stretto.host.contracts.ports import JobStatus
from stretto.host.errors import BadRequestError, NotFoundError, StateConflictError
from stretto.host.planning.acceleration import NONE
from stretto.host.planning.building import INPAINT_UNET, builds_of, pick_compiler, plan_build
from stretto.host.runtime.gpu import compute_capability

from .history import InvocationRow
from .inbox import ImageInbox
from .invocations import described
from .models import find_model
from .planned import plan_body
from .stored import planner

if TYPE_CHECKING:
    from stretto.host.runtime.build_store import BuildJob
    from stretto.host.runtime.host import Host
    from stretto.host.runtime.progress import Progress

    from .entities import Records

__all__ = [
    "NETWORKS",
    "PROMPT",
    "builds_of_user",
    "described_build",
    "find_build",
    "forget_build",
    "queue_build",
    "row_now",
]

NETWORKS = ("unet", INPAINT_UNET, "controlled_unet")  # the contract's
PROMPT = "a green field, blue sky, outside"  # the contract's; nothing of it is drawn
UNSAVED = "unsaved"  # the contract's word for pictures that are not kept


def queue_build(host: Host, records: Records, asked: tuple[str, str, object], user_id: int) -> BuildJob:
    """Queue the build of an engine: of a stored model, the network's word, and the compiler's name or None.

    Raises BadRequestError for an unknown network, NotFoundError for an unknown model, UnsupportedError where
    nothing can build, and TooManyRequestsError.
    """
    name, network, compiler = asked
    word = network.lower()
    if word not in NETWORKS:
        raise BadRequestError(f"Unknown or unsupported network {network}")
    if find_model(records, name) is None:
        raise NotFoundError(f"No model named {name}")
    if compiler == NONE:
        raise BadRequestError(f"acceleration: '{NONE}' builds nothing; leave it out, or name a compiler")
    payload: Mapping[str, object] = {
        "model": name,
        "model_type": "model",
        "prompt": PROMPT,
        "intermediates": False,
        **({} if compiler is None else {"acceleration": compiler}),
    }
    inbox = ImageInbox(host.folders, host.settings, allowed_roots=())
    plan = plan_body(payload, inbox, planner(host, records, payload))
    wanted = plan.acceleration.requested if plan.acceleration else None
    spec = pick_compiler(host, wanted, on_gpu=compute_capability() is not None)
    (build,) = builds_of(spec, [word])
    return host.builds.submit(plan_build(plan, build, host), user_id, model=name)


def find_build(host: Host, uuid: str, user_id: int | None) -> BuildJob | None:
    """Give one of a user's builds, or of anybody's (None); None where there is no such build."""
    job = host.builds.get(uuid)
    return None if job is None or user_id not in (None, job.user_id) else job


def forget_build(host: Host, uuid: str) -> None:
    """End a build if it is not over, and forget it; raises StateConflictError while its end is awaited."""
    host.builds.stop(uuid)
    if not host.builds.forget(uuid):
        raise StateConflictError(f"The invocation {uuid} is being stopped; delete it when it has ended")


def builds_of_user(host: Host, user_id: int) -> list[dict[str, object]]:
    """Give the objects of a user's builds, oldest first."""
    mine = [job for job in host.builds.all() if job.user_id == user_id]
    return [described_build(job, host.progress(job.uuid)) for job in mine]


def row_now(host: Host, job: BuildJob) -> InvocationRow:
    """Give a build as it is by now; one that was deleted meanwhile is over."""
    known = host.builds.get(job.uuid)
    if known is None:
        known = replace(job, status=JobStatus.ERROR, finished=time.time(), error="It was deleted.")
    return _row(known)


def _row(job: BuildJob) -> InvocationRow:
    """Give a build as a row of an invocation; builds are in no table."""
    return InvocationRow(
        id=job.id or 0,
        uuid=job.uuid,
        user_id=job.user_id,
        status=job.status,
        started=job.started or job.created,
        finished=job.finished,
        total=len(job.plan.builds),
        images=(),
        error=job.error,
    )


def described_build(job: BuildJob, progress: Progress | None) -> dict[str, object]:
    """Give the object of an invocation, with what is built in its `metadata`."""
    found = described(_row(job), progress)
    if job.status is JobStatus.COMPLETED:
        found["images"] = [UNSAVED]
    told = found.get("metadata")
    found["metadata"] = {
        **(told if isinstance(told, dict) else {}),
        "tensorrt_build": {"model": job.model, "network": job.network},
    }
    return found
