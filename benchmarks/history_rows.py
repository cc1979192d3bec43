"""Records of a server that has been in use for years: invocations in numbers, with plans that it made itself."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from .server import Server

__all__ = ["BODIES", "fill", "plans_of"]

SUBJECTS = ("a lighthouse", "two foxes", "an old harbour", "a glass teapot", "a street at night", "a fern")
MANNERS = ("in the rain", "at dawn", "as a woodcut", "seen from above", "in pencil", "through a window")
COLOURS = ("teal", "ochre", "crimson", "pale blue", "sepia", "viridian")
APART_S = 97.0  # from one invocation to the next
ERRORS = 50  # one invocation of so many failed
# what people ask for, from the shortest to the long ones with everything written out
BODIES: tuple[dict[str, Any], ...] = (
    {"prompt": "SUBJECT"},
    {"prompt": "SUBJECT", "num_inference_steps": 20, "guidance_scale": 6.5, "samples": 4},
    {"prompt": "SUBJECT", "negative_prompt": "blurry, low contrast", "width": 128, "height": 192},
    {
        "prompt": "SUBJECT, detailed, soft light, a wide view with much sky and a low horizon",
        "negative_prompt": "text, watermark, frame, out of focus, oversaturated, noisy",
        "width": 256,
        "height": 256,
        "chunking_size": 8,
        "scheduler": "euler",
        "seed": 1234567890,
    },
    {"prompt": "SUBJECT", "tile": True, "iterations": 2, "scheduler": "ddim", "num_inference_steps": 40},
    {
        "nodes": [
            {"x": 0, "y": 0, "w": 128, "h": 128, "prompt": "SUBJECT"},
            {"x": 64, "y": 0, "w": 128, "h": 128, "prompt": "SUBJECT, closer", "num_inference_steps": 12},
        ],
        "width": 192,
        "height": 128,
    },
)
COLUMNS = (
    "uuid", "user_id", "status", "attempts", "created", "started", "finished", "total", "outputs", "images",
    "error", "plan",
)  # fmt: skip


def plans_of(server: Server, model: str, bodies: Sequence[dict[str, Any]] = BODIES) -> list[str]:
    """Let a server plan some invocations; gives their JSON texts as it would store them, the word SUBJECT left in."""
    plans = [server.call("POST", "/api/plan", {"model": model, **body}) for body in bodies]
    return [json.dumps(plan, ensure_ascii=False, separators=(",", ":")) for plan in plans]


def fill(database: Path, plans: Sequence[str], count: int, *, until: float, seed: int = 0) -> int:
    """Add invocations that are over, the last one at `until` (Unix seconds); gives the mean of their plans in bytes.

    The server of the database must not run.
    """
    names, places = ", ".join(COLUMNS), ", ".join("?" * len(COLUMNS))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(
            f"INSERT INTO invocation ({names}) VALUES ({places})",  # noqa: S608 - constants
            _rows(plans, count, until, random.Random(seed)),
        )
        found = connection.execute("SELECT AVG(LENGTH(CAST(plan AS BLOB))) FROM invocation").fetchone()
    return int(found[0])


def _rows(plans: Sequence[str], count: int, until: float, choice: random.Random) -> Iterator[tuple[Any, ...]]:
    for index in range(count):
        uuid = f"{choice.getrandbits(128):032x}"
        subject = " ".join((choice.choice(SUBJECTS), choice.choice(MANNERS), choice.choice(COLOURS)))
        plan = plans[index % len(plans)].replace("SUBJECT", subject)
        created = until - APART_S * (count - index) + choice.random()
        started = created + choice.random()
        finished = started + 2 + 20 * choice.random()
        failed = index % ERRORS == ERRORS - 1
        images = [] if failed else [f"{uuid}_{number}.png" for number in range(1 + index % 4)]
        error = "The invocation was stopped" if failed else None
        status = "error" if failed else "completed"
        yield (
            uuid, 0, status, 1, created, started, finished, 40, len(images), json.dumps(images), error, plan,
        )  # fmt: skip
