"""A PostgreSQL cluster of the tests' own: on a socket in a folder of its own, with nothing kept safe on disk."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

INSTALLED = Path("/usr/lib/postgresql")  # Debian's, a folder a version
OWNER = "stretto"
LOCKED = "locked"  # a user who has to say the password "s3cret"
# nothing survives a crash, and nothing is written that a test would wait for
HASTY = (
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "autovacuum=off",
    "shared_buffers=16MB",
)
START_S = 30


def binaries() -> Path | None:
    """Give the folder of the newest initdb; None where PostgreSQL's server is not installed."""
    found = sorted(INSTALLED.glob("*/bin/initdb"), key=lambda file: float(file.parents[1].name))
    onpath = shutil.which("initdb")
    if found:
        return found[-1].parent
    return Path(onpath).resolve().parent if onpath else None


def unusable() -> str | None:
    """Say why there cannot be a cluster here; None if there can."""
    if binaries() is None:
        return "PostgreSQL's server is not installed (Debian: apt install postgresql)"
    if os.geteuid() == 0 and _other_user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody"
    return None


@dataclass
class Cluster:
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def url(self, database: str = "postgres", user: str = OWNER, options: str = "") -> str:
        more = f"&options={quote(options)}" if options else ""
        return f"postgres://{user}@/{database}?host={quote(str(self.folder), safe='')}{more}"

    def new_url(self) -> str:
        """Give the address of an empty schema."""
        name = f"t{next(self._numbers)}"
        self.run(f"CREATE SCHEMA {name}")
        return self.url(options=f"-c search_path={name}")

    def run(self, statement: str, database: str = "postgres") -> list[Any]:
        connection = psycopg2.connect(self.url(database))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def start(self) -> None:
        settings = (
            "listen_addresses=",
            f"unix_socket_directories={self.folder}",
            "max_connections=200",
            *HASTY,
        )
        words = [word for setting in settings for word in ("-c", setting)]
        # tests that are killed end no fixtures, but what they started with them
        with_us = ["setpriv", "--pdeathsig", "QUIT"] if shutil.which("setpriv") else []
        self.process = subprocess.Popen(
            [*with_us, *_command("postgres", "-D", str(self.folder / "data"), *words)],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
            **_as_other_user(),
        )
        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg2.connect(self.url()).close()
            except psycopg2.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def stop(self, mode: str = "fast") -> None:
        """End it, and every connection to it; `immediate` may lose what was committed just before."""
        if self.process is not None:
            subprocess.run(
                _command("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "stop"),
                stdout=subprocess.DEVNULL,
                check=True,
                **_as_other_user(),
            )
            self.process.wait(START_S)
            self.process = None


@contextmanager
def running() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="stretto-pg-"))  # short, as a socket's path must be
    cluster = Cluster(folder)
    try:
        if os.geteuid() == 0:
            user = _other_user()
            assert user is not None
            os.chown(folder, user.pw_uid, user.pw_gid)
        _lay(folder)
        cluster.start()
        cluster.run(f"CREATE USER {LOCKED} PASSWORD 's3cret'")
        yield cluster
    finally:
        cluster.stop("immediate")
        shutil.rmtree(folder)


def _lay(folder: Path) -> None:
    subprocess.run(
        _command(
            "initdb", "-D", str(folder / "data"), "-U", OWNER, "--auth=trust", "--no-sync", "--no-instructions",
            "--encoding=UTF8", "--locale=C",
        ),
        stdout=subprocess.DEVNULL,
        check=True,
        **_as_other_user(),
    )  # fmt: skip
    access = folder / "data" / "pg_hba.conf"
    access.write_text(f"local all {LOCKED} scram-sha-256\n{access.read_text()}")


def _command(name: str, *words: str) -> Sequence[str]:
    folder = binaries()
    assert folder is not None
    return [str(folder / name), *words]


def _as_other_user() -> dict[str, Any]:
    user = _other_user() if os.geteuid() == 0 else None
    if user is None:
        return {"cwd": "/"}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


def _other_user() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None
