"""What Prometheus scrapes."""

from __future__ import annotations

import hmac
import os

from prometheus_client.exposition import choose_encoder
from stretto.host.errors import BadRequestError

from ..access import admins_may
from ..fields import shown
from ..routing import Call, RawReply, Reply, Route

__all__ = ["ROUTES", "TOKEN_VARIABLE"]

TOKEN_VARIABLE = "STRETTO_METRICS_TOKEN"  # noqa: S105 - the name of the variable


def show_metrics(call: Call) -> Reply:
    """Give the metrics as Prometheus' text, or as OpenMetrics where `Accept` asks for that.

    They are for administrators, and for who sends the token of the environment variable.
    """
    accept = call.header("Accept") or ""
    try:
        encode, media_type = choose_encoder(accept)
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"Accept: {shown(accept)} names a version that is none ({error})") from error
    return RawReply(body=encode(call.services.telemetry.registry), media_type=media_type, max_age_s=None)


def scrapes(sent: str) -> bool:
    """Say whether a header Authorization is the token's."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    scheme, _, text = sent.strip().partition(" ")
    same = hmac.compare_digest(text.strip().encode("utf-8", "replace"), token.encode("utf-8", "replace"))
    return bool(token) and scheme.lower() == "bearer" and same


ROUTES = (Route("GET", "/metrics", show_metrics, admins_may("read", "System"), admits=scrapes),)
