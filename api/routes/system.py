"""How the host is, and which plugins it has."""

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


def list_plugins(call: Call) -> Reply:
    """Give one row a plugin, those that are off or broken too, with the reason."""
    return Data(
        [
            {
                "name": row.name,
                "version": row.version,
                "origin": row.origin,
                "offers": {kind: list(names) for kind, names in row.offers.items()},
                "status": row.status,
                "reason": row.reason,
            }
            for row in call.services.host.plugins()
        ]
    )


ROUTES = (Route("GET", "/api", show_status), Route("GET", "/api/plugins", list_plugins))
