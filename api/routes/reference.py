"""The API about itself: its OpenAPI document, a page that shows it, and what its problem types mean."""

from __future__ import annotations

from stretto.host.errors import NotFoundError, did_you_mean

from ..access import ANYBODY
from ..fields import shown
from ..openapi import document_of, offered
from ..plugin_parameters import declared_parameters
from ..plugin_routes import plugin_offers
from ..problems import PROBLEMS, problem_page
from ..reference_page import PAGE
from ..routing import Call, RawReply, Reply, Route

__all__ = ["ROUTES"]

HTML = "text/html; charset=utf-8"


def show_openapi(call: Call) -> Reply:
    """Give this API as an OpenAPI 3.1 document, with what the plugins offer."""
    from . import ROUTES as EVERY_ROUTE

    host = call.services.host
    body = document_of(
        EVERY_ROUTE, host.version, offered(host), plugin_offers(host), declared_parameters(host)
    )
    return RawReply(body=body, media_type="application/json", max_age_s=None)


def show_docs(call: Call) -> Reply:
    """Give a page that shows the OpenAPI document; it loads nothing else."""
    del call
    return RawReply(body=PAGE, media_type=HTML, max_age_s=None)


def list_problems(call: Call) -> Reply:
    """Give a page on every type of problem."""
    del call
    return RawReply(body=problem_page(list(PROBLEMS)), media_type=HTML, max_age_s=None)


def show_problem(call: Call) -> Reply:
    """Give a page on one type of problem: what its `type` leads to."""
    slug = call.names["slug"]
    if slug not in PROBLEMS:
        raise NotFoundError(f"There is no problem {shown(slug)}; {did_you_mean(slug, list(PROBLEMS))}")
    return RawReply(body=problem_page([slug]), media_type=HTML, max_age_s=None)


ROUTES = (
    Route("GET", "/api/openapi.json", show_openapi, ANYBODY),
    Route("GET", "/api/docs", show_docs, ANYBODY),
    Route("GET", "/api/problems", list_problems, ANYBODY),
    Route("GET", "/api/problems/<slug>", show_problem, ANYBODY),
)
