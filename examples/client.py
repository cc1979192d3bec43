"""Draws a picture on a Stretto server: asks, follows the progress, and fetches what came of it.

python examples/client.py "a red circle" --set width=128 --set seed=7 --out pictures
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

PROBLEM = "application/problem+json"
TRIES = 6
OVER = ("completed", "error")
# A server that is away or busy is asked again, after its Retry-After if it says one. Every POST here may come twice:
# logging in does no harm, and an invocation has an Idempotency-Key.
AGAIN = Retry(
    TRIES, backoff_factor=0.1, status_forcelist=(429, 503), allowed_methods=None, raise_on_status=False
)
TIMEOUT_S = (5, 60)  # to connect, and between two bytes; the server speaks at least every 10 s


class Problem(RuntimeError):  # noqa: N818 - the name of RFC 9457
    """What the server refused, and where: each fault with a JSON Pointer into the body and the nearest value."""

    def __init__(self, answer: requests.Response) -> None:
        said: dict[str, Any] = answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
        self.status, self.type, self.faults = answer.status_code, said.get("type"), said.get("errors", ())
        told = (
            f"{one.get('pointer')}: {one['detail']}; nearest: {one.get('nearest')}" for one in self.faults
        )
        super().__init__(
            "\n".join([f"{self.status} {self.type}: {said.get('detail', answer.reason)}", *told])
        )


class Stretto:
    """One server; with `username` and `password` it is asked as that user."""

    def __init__(self, url: str, username: str = "", password: str = "") -> None:
        self.url = url.rstrip("/")
        self.session = requests.Session()
        self.session.mount(self.url, HTTPAdapter(max_retries=AGAIN))
        self.session.headers["Accept"] = f"{PROBLEM}, application/vnd.api+json;q=0.9, */*;q=0.5"
        if username:
            token = self.call("POST", "/api/login", {"username": username, "password": password})
            self.session.headers["Authorization"] = f"Bearer {token['attributes']['access_token']}"

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a call; raises Problem for what the server refuses."""
        answer = self.session.request(method, self.url + path, timeout=TIMEOUT_S, **options)
        if not answer.ok:
            raise Problem(answer)
        return answer

    def call(self, method: str, path: str, body: object = None, **options: Any) -> Any:
        """Send JSON and give the answer's `data`."""
        return self.send(method, path, json=body, **options).json()["data"]

    def invoke(self, body: dict[str, object]) -> str:
        """Queue an invocation and give its uuid; the key keeps a repeated call from being drawn twice."""
        ticket = self.call("POST", "/api/invoke", body, headers={"Idempotency-Key": uuid.uuid4().hex})
        return str(ticket["uuid"])

    def events(self, name: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Give an invocation's events as (number, kind, data) to the last; a lost stream goes on where it was."""
        number, lost, path = 0, 0, f"/api/invocation/{name}/events"
        while lost < TRIES:
            headers = {"Last-Event-ID": str(number), "Accept": f"text/event-stream, {PROBLEM}"}
            try:
                with self.send("GET", path, headers=headers, stream=True) as answer:
                    for event in parsed(answer):
                        number, lost = event[0], 0
                        yield event
                        if event[1] in OVER:
                            return
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                pass  # come again, with the number of the last event that arrived
            time.sleep(lost := lost + 1)
        raise RuntimeError(f"the stream of {name} broke off {TRIES} times")

    def polled(self, name: str, pause_s: float = 0.5) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give (status, the whole state) of an invocation until it is over: simpler than events."""
        status = ""
        while status not in OVER:
            state = self.call("GET", f"/api/invocation/{name}")
            yield (status := state["status"]), state
            time.sleep(pause_s)

    def fetch(self, name: str, folder: Path) -> list[Path]:
        """Save the pictures of a completed invocation; raises RuntimeError with the reason where it failed."""
        state = self.call("GET", f"/api/invocation/{name}")
        if state["status"] == "error":
            raise RuntimeError(state["message"])
        folder.mkdir(parents=True, exist_ok=True)
        found = []
        for image in state["images"]:
            answer = self.send("GET", f"/api/invocation/{image}")
            found.append(
                folder / (Path(image).name if "/" in image else f"{image}.svg")
            )  # `nsfw` is a drawing
            found[-1].write_bytes(answer.content)
        return found


def parsed(answer: requests.Response) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Read server-sent events: lines `key: value`, an empty one after each event, comments begin with a colon."""
    entry: dict[str, str] = {}
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        key, _, value = line.partition(": ")
        if key:
            entry[key] = value
        elif "id" in entry:
            yield int(entry["id"]), entry["event"], json.loads(entry["data"])
            entry = {}


def main() -> None:
    """Run the command; exit status 1 with the reason on stderr where something is refused or fails, 2 for usage."""
    parser = argparse.ArgumentParser(description="Draw a picture on a Stretto server.")
    parser.add_argument("prompt")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON", help="any parameter")
    parser.add_argument("--url", default="http://127.0.0.1:45555")
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--user", default="", metavar="NAME:PASSWORD")
    parser.add_argument("--poll", action="store_true", help="ask again and again instead of listening")
    given = parser.parse_args()
    try:
        pairs = {name: json.loads(value) for name, value in (text.split("=", 1) for text in given.set)}
    except ValueError as error:
        parser.exit(2, f"--set takes NAME=JSON, a text in quotes, such as 'scheduler=\"ddim\"' ({error})\n")
    try:
        server = Stretto(given.url, *given.user.split(":", 1))
        name = server.invoke({"prompt": given.prompt, **pairs})
        for line in server.polled(name) if given.poll else server.events(name):
            print(*line[:-1], line[-1].get("step"), line[-1].get("total"), file=sys.stderr)
        print(*server.fetch(name, given.out), sep="\n")
    except (requests.RequestException, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
