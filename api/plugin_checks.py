"""The child process of `stretto plugins check`: checks one plugin, and writes each row when it is there.

It runs a plugin's code, which may end the process; who started it reads how far it came.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TextIO

from stretto.host.contracts.routes import RouteSpec
from stretto.host.errors import ConfigurationError
from stretto.host.isolation.environments import Environment
from stretto.host.testing.apart import isolated_subject
from stretto.host.testing.conformance import Checks, Listener, Row, check_plugin
from stretto.host.testing.conformance.report import BreachError, SkippedError
from stretto.host.testing.hosts import opened_host
from stretto.host.testing.trial import Plugin, subjects_of

if TYPE_CHECKING:
    from .testing import ApiClient

__all__ = ["Teller", "check_routes", "main"]

WORST = 500


class Teller(Listener):
    """Writes what is heard as lines of JSON, each at once."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begun(self, kind: str, name: str, check: str) -> None:
        """Write that a check begins."""
        self.say({"begun": {"kind": kind, "name": name, "check": check}})

    def ended(self, row: Row) -> None:
        """Write what came of it."""
        self.say({"row": row.to_json()})

    def say(self, line: dict[str, Any]) -> None:
        """Write one line."""
        self._out.write(json.dumps(line) + "\n")
        self._out.flush()


def main() -> None:
    """Check the plugin that the first argument names, and write to the file descriptor that the second is.

    Of an isolated plugin the third and the fourth are its environment and its limits, as JSON.
    """
    named, descriptor, *apart = sys.argv[1:]
    plugin: Plugin = (
        isolated_subject(Environment.read(Path(apart[0])), named, json.loads(apart[1])) if apart else named
    )
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as out:
        teller = Teller(out)
        try:
            report = check_plugin(plugin, listener=teller)
            if any(row.kind == "route" for row in report.rows):
                check_routes(plugin, teller)
        except ConfigurationError as error:
            teller.say({"refused": str(error)})
        teller.say({"done": True})


def check_routes(plugin: Plugin, listener: Listener) -> list[Row]:
    """Call the routes of a plugin through the API in this process."""
    rows: list[Row] = []
    with TemporaryDirectory(prefix="stretto-kit-") as folder, _api(Path(folder), plugin) as client:
        names = {subject.name for subject in subjects_of(plugin)}
        registry = client.host.board.registry("routes")
        for name, spec in registry.items():
            if registry.owner(name) in names:
                checks = Checks("route", name, listener)
                checks.run("it stands in the OpenAPI document", partial(_check_document, spec, client))
                checks.run("the API answers it", partial(_check_call, spec, client))
                checks.run("the API refuses what it does not take", partial(_check_refusal, spec, client))
                rows += checks.rows
    return rows


@contextmanager
def _api(folder: Path, plugin: Plugin) -> Iterator[ApiClient]:
    from .app import build_app
    from .entities import open_database
    from .store import PonyJobStore, database_file
    from .testing import ApiClient

    records = open_database(database_file(folder / "api"))
    try:
        store = PonyJobStore(records)
        with opened_host(folder, plugins=(plugin,), store=store) as host:
            app = build_app(host, store)
            yield ApiClient(host, app)
            app.close()
    finally:
        records.close()


def _check_document(spec: RouteSpec, client: ApiClient) -> None:
    document = client.get("/api/openapi.json").json
    path = spec.path.replace("<", "{").replace(">", "}")
    operation = document["paths"].get(path, {}).get(spec.method.lower())
    if operation is None:
        raise BreachError(f"there is no {spec.method} {path} in /api/openapi.json")
    if not operation.get("summary") or not operation.get("description"):
        raise BreachError(
            "its operation has no summary or description; give `title`, and `handle` a docstring"
        )


def _check_call(spec: RouteSpec, client: ApiClient) -> None:
    if spec.method != "GET":
        raise SkippedError("only GET is called; call it in a test with the fixture `client`")
    answer = client.get(_path(spec))
    if answer.status >= WORST:
        raise BreachError(f"GET {_path(spec)} is answered with {answer.status}: {answer.errors[0]['detail']}")
    if answer.status >= 400 and not answer.errors[0]["detail"]:  # noqa: PLR2004 - from there on it is an error
        raise BreachError(f"GET {_path(spec)} is answered with {answer.status} without a word")


def _check_refusal(spec: RouteSpec, client: ApiClient) -> None:
    if spec.query is None:
        raise SkippedError("it reads no query")
    answer = client.call(spec.method, f"{_path(spec)}?no_such_field=1", {} if spec.body else None)
    if answer.status != 400:  # noqa: PLR2004 - HTTP's Bad Request
        raise BreachError(
            f"an unknown query field is answered with {answer.status}; declare all that is read in `query`"
        )


def _path(spec: RouteSpec) -> str:
    return "/".join("0" if part.startswith("<") else part for part in spec.path.split("/"))


if __name__ == "__main__":
    main()
