"""Building engines ahead."""

from __future__ import annotations

from ..access import admins_may
from ..engine_builds import described_build, queue_build
from ..model_objects import MODEL
from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]


def build_engine(call: Call) -> Reply:
    """Queue the build of a stored model's `unet`, `inpaint_unet` or `controlled_unet`, to be followed as an invocation.

    `acceleration` in the body or the query names the compiler, else the model or the setting does, else it is the
    first that can.
    """
    services = call.services
    compiler = call.optional_body().get("acceleration") or call.params.get("acceleration", [None])[-1]
    asked = (call.names["name"], call.names["network"], compiler)
    job = queue_build(services.host, services.store.records, asked, call.user.id)
    return Data(described_build(job, None), headers=(("Location", f"/api/invocation/{job.uuid}"),))


ROUTES = (
    Route(
        "POST",
        "/api/models/<name>/tensorrt/<network>",
        build_engine,
        admins_may("update", MODEL.entity),
    ),
)
