"""Every route of the API; one module a subject."""

from __future__ import annotations

from . import (
    civitai,
    downloads,
    engine_builds,
    events,
    files,
    health,
    history,
    installation,
    invocations,
    lists,
    login,
    logs,
    metrics,
    models,
    plugins,
    reference,
    settings,
    system,
    tensorrt,
    users,
)

__all__ = ["ROUTES"]

ROUTES = (
    *system.ROUTES,
    *plugins.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    *login.ROUTES,
    *users.ROUTES,
    *invocations.ROUTES,
    *events.ROUTES,
    *files.ROUTES,
    *history.ROUTES,
    *models.ROUTES,
    *lists.ROUTES,
    *settings.ROUTES,
    *downloads.ROUTES,
    *civitai.ROUTES,
    *installation.ROUTES,
    *tensorrt.ROUTES,
    *engine_builds.ROUTES,
    *logs.ROUTES,
    *reference.ROUTES,
)
