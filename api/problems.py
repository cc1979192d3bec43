"""Errors as problem details (RFC 9457), for callers whose Accept asks for them; and what each type means.

The contract's `errors[]` stays the answer for everybody else.
"""

from __future__ import annotations

import html
import inspect
import json
import math
import re
from collections.abc import Sequence
from http import HTTPStatus

import stretto.host.errors as errors_module
from stretto.host.errors import Fault, InvalidRequestError, StrettoError, meant

from .envelope import errors_of, json_text

__all__ = [
    "PROBLEMS",
    "PROBLEM_TYPE",
    "pointer",
    "problem",
    "problem_page",
    "problem_title",
    "problem_uri",
    "problem_words",
    "wants_problem",
]

PROBLEM_TYPE = "application/problem+json"
CONTRACT_TYPE = "application/vnd.api+json"
TOKEN = re.compile(r"[^.\[\]]+")
BOUNDS = re.compile(r" is not (?:a whole number|a number) from (\S+) to (\S+)$")


def _slug(kind: type[StrettoError]) -> str:
    if kind is StrettoError:
        return "internal"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__.removesuffix("Error")).lower()


# slug -> class; the slugs follow the classes' names, which are public
PROBLEMS: dict[str, type[StrettoError]] = {
    _slug(value): value
    for value in vars(errors_module).values()
    if inspect.isclass(value) and issubclass(value, StrettoError)
}


def problem_uri(kind: type[Exception]) -> str:
    """Give the `type` of an error's class; what is not of our tree is `internal`."""
    known = {owner: slug for slug, owner in PROBLEMS.items()}
    slug = next((known[owner] for owner in kind.__mro__ if owner in known), known[StrettoError])
    return f"/api/problems/{slug}"


def wants_problem(accept: str) -> bool:
    """Say whether an Accept header names problem details, and the contract's type not before them."""
    ours = _quality(accept, PROBLEM_TYPE)
    return ours > 0 and ours >= _quality(accept, CONTRACT_TYPE)


def _quality(accept: str, media_type: str) -> float:
    for part in accept.lower().split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        if name == media_type:
            texts = [word[2:] for word in parameters if word.startswith("q=")]
            try:
                return float(texts[0]) if texts else 1.0
            except ValueError:
                return 0.0
    return 0.0


def problem(
    error: Exception, *, method: str, path: str, raw: bytes = b"", status: int | None = None
) -> bytes:
    """Write an error as problem details; `raw` is the body that was sent, which pointers lead into.

    Each fault has its `detail`; of a body a `pointer` (RFC 6901, as a fragment), of a query string its
    `parameter`; and the `nearest` value that would do, where one is known. `status` is the error's unless given.
    """
    usual, _, details = errors_of(error)
    kind = type(error)
    made: dict[str, object] = {
        "type": problem_uri(kind),
        "title": problem_title(problem_uri(kind).rpartition("/")[2]),
        "status": usual if status is None else status,
        "detail": "; ".join(details),
        "instance": path,
    }
    if isinstance(error, InvalidRequestError):
        asked = method in ("GET", "HEAD")
        body = None if asked else _parsed(raw)
        made["errors"] = [_fault(fault, body, asked=asked) for fault in error.faults]
    elif (near := meant(str(error))) is not None:
        made["nearest"] = near
    return json_text(made).encode()


def _parsed(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _fault(fault: Fault, body: object, *, asked: bool) -> dict[str, object]:
    made: dict[str, object] = {"detail": fault.message}
    found: object = None
    if asked:
        made["parameter"] = fault.field
    else:
        made["pointer"], found = pointer(fault.field, body)
    if (near := _nearest(fault.message, found)) is not None:
        made["nearest"] = near
    return made


def pointer(field: str, body: object) -> tuple[str, object]:
    """Give the JSON Pointer of a fault's field, such as `nodes[1].w`, and the value there (None without one).

    A list of one may be sent as its item alone, so a position is left out where no list was sent.
    """
    if field == "body":
        return "#", None
    tokens: list[str] = []
    at = body
    for token in TOKEN.findall(field):
        if isinstance(at, dict) and token.isdigit() and token not in at:
            continue
        if tokens and at is not None and not isinstance(at, dict | list):
            break
        tokens.append(token.replace("~", "~0").replace("/", "~1"))
        at = _inside(at, token)
    return "#/" + "/".join(tokens), at


def _inside(at: object, token: str) -> object:
    if isinstance(at, dict):
        return at.get(token)
    if isinstance(at, list) and token.isdigit() and int(token) < len(at):
        return at[int(token)]
    return None


def _nearest(message: str, sent: object) -> object:
    bounds = BOUNDS.search(message)
    if bounds is None or isinstance(sent, bool) or not isinstance(sent, int | float | str):
        return meant(message)
    try:
        value = float(sent)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(value):
        return None
    low, high = (json.loads(text) for text in bounds.groups())
    within = min(max(value, low), high)
    return round(within) if isinstance(low, int) else within


def problem_title(slug: str) -> str:
    """Give a type's title, which is the same for every problem of the type."""
    return slug.replace("-", " ").capitalize()


def problem_words(kind: type[StrettoError]) -> str:
    """Say when an error is answered, on one line."""
    return " ".join((kind.__doc__ or "").split())


def problem_page(slugs: Sequence[str]) -> bytes:
    """Write what problem types mean as a page that loads nothing."""
    entries = "".join(
        f'<h2 id="{slug}"><a href="/api/problems/{slug}">{html.escape(problem_title(slug))}</a></h2>'
        f"<p>{PROBLEMS[slug].status} {HTTPStatus(PROBLEMS[slug].status).phrase}, "
        f"<code>{html.escape(PROBLEMS[slug].title)}</code></p>"
        f"<p>{html.escape(problem_words(PROBLEMS[slug]))}</p>"
        for slug in slugs
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Problems</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<style>body{font:1rem/1.5 sans-serif;max-width:45rem;margin:2rem auto;padding:0 1rem}</style>"
        f'{entries}<p><a href="/api/problems">All problem types</a> · <a href="/api/docs">The API</a></p></html>'
    ).encode()
