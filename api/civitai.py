"""Asks CivitAI what there is to fetch; what comes back is what it says, without the HTML.

Its API: https://github.com/civitai/civitai/wiki/REST-API-Reference (GET /api/v1/models).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode

from stretto.host.errors import BadRequestError, TooManyRequestsError, UpstreamError, did_you_mean

from .http_client import broken, opened

__all__ = ["KINDS", "Look", "look_up"]

# the contract's words -> CivitAI's
KINDS = {
    "checkpoint": "Checkpoint",
    "inversion": "TextualInversion",
    "lora": "LORA",
    "lycoris": "LoCon",
    "controlnet": "Controlnet",
    "poses": "Poses",
    "hypernetwork": "Hypernetwork",
    "gradient": "AestheticGradient",
    "motion": "MotionModule",
}
LIMIT = 20
MAX_BYTES = 16 * 2**20
PASSED = {"query": "query", "page": "page", "allow_commercial_use": "allowCommercialUse"}
BREAKS = ("p", "br", "li", "div", "h1", "h2", "h3", "h4")
TRUE = ("true", "1", "yes", "on")


class Look:
    """At most a few calls wait for CivitAI at once, so that a slow one leaves the server its threads."""

    def __init__(self, places: int = 2) -> None:
        self._places = threading.BoundedSemaphore(places)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places; TooManyRequestsError when there is none."""
        if not self._places.acquire(blocking=False):
            raise TooManyRequestsError("Too many requests. Others wait for CivitAI; ask again in a moment.")
        try:
            yield
        finally:
            self._places.release()


def look_up(base: str, kind: str, params: Mapping[str, list[str]], *, safe: bool) -> list[Any]:
    """Give the items of one page, the HTML of their descriptions stripped; `safe` leaves out what is not.

    Raises BadRequestError for an unknown kind, and UpstreamError when CivitAI cannot be reached or
    answers something else.
    """
    if kind not in KINDS:
        raise BadRequestError(f"Unknown lookup type {kind}; {did_you_mean(kind, tuple(KINDS))}")
    first = {name: values[0] for name, values in params.items() if values and values[0]}
    asked = {
        "types": KINDS[kind],
        "limit": str(LIMIT),
        "sort": first.get("sort", "Most Downloaded"),
        "period": first.get("period", "Month"),
        "nsfw": "false" if safe or first.get("nsfw", "").lower() not in TRUE else "true",
        **{theirs: first[ours] for ours, theirs in PASSED.items() if ours in first},
    }
    items = _answer(f"{base.rstrip('/')}/api/v1/models?{urlencode(asked)}", base)
    for item in items:
        if isinstance(item, dict) and isinstance(item.get("description"), str):
            item["description"] = _text(item["description"])
    return items


def _answer(url: str, base: str) -> list[Any]:
    try:
        # the setting names this machine, if it does, on purpose; where it sends us to is not followed
        with opened(url, {"Accept": "application/json"}, private=True, redirects=0) as response:
            raw = _read(response, base)
        answer = json.loads(raw)
    except (UpstreamError, BadRequestError) as error:
        said = str(error).removesuffix("; check the network")  # which is said below
        raise UpstreamError(
            f"CivitAI at {base} does not help: {said}; check the network and the setting civitai_url"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UpstreamError(
            f"CivitAI at {base} does not answer with JSON; check the setting civitai_url"
        ) from error
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list):
        raise UpstreamError(
            f"CivitAI at {base} answers without a list of items; check the setting civitai_url"
        )
    return items


def _read(response: Any, base: str) -> bytes:
    if response.status != HTTPStatus.OK:
        raise UpstreamError(f"it answers {response.status} {response.reason}")
    try:
        raw: bytes = response.read(MAX_BYTES + 1)
    except (OSError, HTTPException) as error:
        raise broken(base, error) from error
    if len(raw) > MAX_BYTES:
        raise UpstreamError(f"its answer has more than {MAX_BYTES} bytes")
    return raw


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Let blocks begin on a line of their own."""
        del attrs
        if tag in BREAKS:
            self.parts.append("\n")
        if tag in ("script", "style"):
            self._hidden += 1

    def handle_endtag(self, tag: str) -> None:
        """End what is not shown."""
        if tag in ("script", "style") and self._hidden:
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        """Keep words."""
        if not self._hidden:
            self.parts.append(data)


def _text(html: str) -> str:
    words = _Words()
    words.feed(html)
    words.close()
    lines = (" ".join(line.split()) for line in "".join(words.parts).splitlines())
    return "\n".join(line for line in lines if line)
