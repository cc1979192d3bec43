"""How the host is."""

from __future__ import annotations

import time
from dataclasses import asdict

from stretto.host.runtime.gpu import gpu_snapshot

from ..compilers import compilers
from ..history import counts
from ..recent import Recent
from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]

GPU = Recent(gpu_snapshot, age_s=0.5)  # NVML takes a while, most of all where there is no card


def show_status(call: Call) -> Reply:
    """Give status, counts, graphics card, compilers, version and uptime."""
    services = call.services
    jobs, downloads = counts(services.store.records, services.before), services.downloads.counts()
    return Data(
        {
            "status": services.host.status(),
            "system": {
                "downloads": asdict(downloads),
                "invocations": {"active": jobs.processing > 0, "queued": jobs.queued, "total": jobs.total},
            },
            "gpu": GPU(),
            "compilers": list(compilers(services.host)),
            "version": services.host.version,
            "uptime": round(time.monotonic() - services.started, 6),
        }
    )


ROUTES = (Route("GET", "/api", show_status),)
