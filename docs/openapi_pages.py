"""The OpenAPI document of the plugins that come with Stretto, and the reference page of problem types."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stretto.api.openapi import offered, openapi
from stretto.api.plugin_parameters import declared_parameters
from stretto.api.problems import PROBLEMS, problem_title, problem_words
from stretto.api.routes import ROUTES
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from value_words import table

__all__ = ["openapi_document", "problem_parts"]

INTRO = """
Errors are answered as [the contract](http.md) has them, unless `Accept` names `application/problem+json`: then
they are problem details (RFC 9457).

```json
{
  "type": "/api/problems/invalid-request",
  "title": "Invalid request",
  "status": 400,
  "detail": "width: 20000 is not a whole number from 8 to 16384",
  "instance": "/api/invoke",
  "errors": [
    {"detail": "20000 is not a whole number from 8 to 16384", "pointer": "#/width", "nearest": 16384}
  ]
}
```

`type` never changes for a kind of problem, and leads to a page on it on the same server. `errors` has an entry a
fault: `pointer` is a JSON Pointer (RFC 6901) into the body that was sent, `parameter` names a parameter of the query
string instead. `nearest` is the value that would do and is nearest to what was sent, where there is one; where the
whole request has one fault without a place, it stands beside `detail`.

If `Accept` names `application/vnd.api+json` as well, the one with the higher `q` is answered.

## Types
"""


def problem_parts() -> list[str]:
    """Give the page's parts, in order."""
    rows = [
        (f"`/api/problems/{slug}`", problem_title(slug), str(kind.status), problem_words(kind))
        for slug, kind in PROBLEMS.items()
    ]
    return [INTRO, table(("type", "title", "status", "when"), rows)]


def openapi_document() -> dict[str, Any]:
    """Give the document of a host with nothing but its own plugins."""
    with TemporaryDirectory() as name:
        root = Path(name)
        (root / "plugins.toml").write_text("[host]\nautoload = false\n")
        with Host.open(Folders(root / "data"), Settings(), plugins_file=root / "plugins.toml") as host:
            return openapi(ROUTES, host.version, offered(host), declared=declared_parameters(host))
