"""Sends what schemathesis makes of the OpenAPI document to a server, and holds every answer against it.

An answer of 500 or more is a failure.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

import schemathesis
import schemathesis.hooks
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    HealthCheck,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError
from stretto.api.access import ANYBODY
from stretto.api.accounts import UserForm, change_user, log_in
from stretto.api.routes import ROUTES
from stretto.api.settings_store import SettingsStore
from stretto.host.settings import Settings

from .client import Client, Still
from .conformance import Contract, deviations

SEED = 20261122
ADMIN = "enfugue"
# Every call finds room in the queue, which is not started; who asks for pictures does not wait for them.
SETTINGS = {
    **asdict(Settings(auth=True, max_queued_invocations=100000, max_wait_s=0.0)),
    "idle_timeout_s": 1.0,
}
OPEN = {
    (route.method, re.sub(r"<(\w+)(:path)?>", r"{\1}", route.path))
    for route in ROUTES
    if route.needs is ANYBODY
}
BUILD = "/api/models/{name}/tensorrt/{network}"
READINESS = "/readyz"
QUEUEING = {("POST", "/api/invoke"), ("POST", BUILD)}
# parameters whose value is the name of something that a random word is not
NAMING = {
    "model", "model_type", "refiner", "inpainter", "lora", "lycoris", "inversion", "vae", "scheduler", "multi_scheduler",
    "controlnet", "controlnets", "control_image", "image", "mask", "nodes", "upscale", "upscale_diffusion_controlnet",
    "acceleration",
}  # fmt: skip
PROBLEM = {"Accept": "application/problem+json"}


@dataclass(kw_only=True)
class Fuzz:
    """One caller: an administrator who logs in again whenever a call has ended the token, or a stranger.

    A server whose queue runs would draw what is asked of it, so that it is asked for its readiness alone; one whose
    queue was not started, for all but that.
    """

    still: Still
    known: Mapping[str, str]  # part of a path -> a value that leads somewhere
    civitai_url: str
    admin: bool
    below: str = ""  # the paths that are asked, where they are not all
    free: Collection[tuple[str, str]] = tuple(OPEN)  # what a stranger may call
    token: str = ""
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)  # what is wrong -> how to see it again
    _contract: Contract | None = None  # of a server with plugins

    @property
    def calls(self) -> int:
        return sum(self.statuses.values())

    def run(self, phases: list[str], examples: int) -> None:
        """Go through every operation; a fault of the generator itself is a failure too."""
        self.mend()
        document = self.still.client.get("/api/openapi.json").json
        self._contract = Contract(document) if self.below else None
        schema = schemathesis.openapi.from_dict(document, config=self._config(phases, examples))
        schema = (schema.include if self.still.host.running else schema.exclude)(path=READINESS)
        if self.below:
            schema = schema.include(path_regex=f"^{self.below}")
        for hook in (self.map_path_parameters, self.map_body, self.after_call):
            schema.hooks.register_hook_with_name(hook, hook.__name__)

        @schemathesis.hook  # for every schema there is: this one has no other kind
        def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
            case.headers = {**(case.headers or {}), **self.headers()}

        try:
            for event in from_schema(schema).execute():
                if isinstance(event, FatalError):
                    raise event.exception
                if isinstance(event, NonFatalError):
                    self.failures[f"{event.label}: {event.value!r}"] = str(event.info.message)
        finally:
            schemathesis.hooks.unregister(before_call)

    def _config(self, phases: list[str], examples: int) -> SchemathesisConfig:
        generation = GenerationConfig(
            max_examples=examples,
            deterministic=True,
            database="none",
            no_shrink=True,
            with_security_parameters=False,
        )
        chosen = PhasesConfig()
        chosen.update(phases=phases)
        project = ProjectConfig(
            base_url=f"http://127.0.0.1:{self.still.client.port}",
            generation=generation,
            phases=chosen,
            checks=ChecksConfig.from_dict({"enabled": False}),
            continue_on_failure=True,
            max_stream_events=3,
            request_timeout=30,
            max_redirects=0,
        )
        return SchemathesisConfig(
            seed=SEED,
            suppress_health_check=[HealthCheck.all],
            projects=ProjectsConfig(default=project),
        )

    def map_path_parameters(self, _context: Any, path_parameters: dict[str, Any] | None) -> Any:
        """Let half of the paths lead somewhere."""
        made = path_parameters or {}
        if zlib.crc32(repr(sorted(made.items())).encode()) % 2 == 0:
            return path_parameters
        return {**made, **{name: self.known[name] for name in made.keys() & self.known.keys()}}

    def map_body(self, context: Any, body: Any) -> Any:
        """Make half of the bodies go further: without names that lead nowhere, with a prompt, with one password."""
        if not isinstance(body, dict) or zlib.crc32(repr(body).encode("utf-8", "replace")) % 2:
            return body
        path = context.operation.path
        made = {name: value for name, value in body.items() if name not in NAMING}
        if path in ("/api/invoke", "/api/plan"):
            made["prompt"] = made.get("prompt") or "a red circle"
        elif path.startswith("/api/users") and "new_password" in made:
            made |= {"repeat_password": made["new_password"], "username": f"user_{self.calls}"}
        elif path == "/api/models":
            made |= {"checkpoint": "starter", "name": f"model {self.calls}"}
        return made

    def headers(self) -> dict[str, str]:
        """Send the token, and ask for problem details every other time."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.admin else {}
        return sent | PROBLEM if self.calls % 2 else sent

    def after_call(self, _context: Any, case: Any, response: Any) -> None:
        """Count an answer, hold it against the document, and mend what the call may have changed."""
        operation, status = case.operation.label, response.status_code
        self.statuses[operation, status] += 1
        headers = {name.title(): values[0] for name, values in response.headers.items()}
        path = urlsplit(response.request.url).path
        found = list(deviations(case.method, path, status, headers, response.content, self._contract))
        if status >= 500:
            found.append(f"{operation} answered {status}: {response.content[:200]!r}")
        if self._is_guarded(case) and status not in (400, 401, 404):
            found.append(f"{operation} answered {status} to a stranger")
        for words in found:
            self.failures.setdefault(words[:300], case.as_curl_command())
        if status == 200 and case.method != "GET":
            self.mend()
        if status == 200 and (case.method, case.operation.path) in QUEUEING:
            self.still.host.stop(json.loads(response.content)["data"]["uuid"])

    def _is_guarded(self, case: Any) -> bool:
        method = "GET" if case.method == "HEAD" else case.method
        return not self.admin and method != "OPTIONS" and (method, case.operation.path) not in self.free

    def mend(self) -> None:
        """Put back settings, password and token."""
        records = self.still.store.records
        wanted = {**SETTINGS, "civitai_url": self.civitai_url}
        if asdict(self.still.host.settings) != wanted:
            SettingsStore(records).change(wanted, self.still.host.update_settings)
        if not self.admin:
            return
        client = Client(self.still.client.port, self.token)
        if not self.token or client.get("/self").status != 200:
            change_user(records, ADMIN, UserForm(new_password=ADMIN, repeat_password=ADMIN))
            self.token = log_in(records, ADMIN, ADMIN).text
        client.close()

    def summary(self) -> str:
        """Say how many calls were answered with which status."""
        by_status: Counter[int] = Counter()
        for (_, status), count in self.statuses.items():
            by_status[status] += count
        said = ", ".join(f"{status}: {count}" for status, count in sorted(by_status.items()))
        who = "administrator" if self.admin else "stranger"
        operations = len({operation for operation, _ in self.statuses})
        return f"{who}: {self.calls} calls of {operations} operations; {said}; {len(self.failures)} failures"


Fill = Callable[[Still], Mapping[str, str]]
