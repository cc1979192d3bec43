"""Writes into a file what the host has when it takes requests."""

from pathlib import Path

from stretto.host import hookimpl


@hookimpl
def host_started(host):
    count = len(host.offers("schedulers"))
    Path("greeting.txt").write_text(f"Stretto {host.version} with {count} schedulers\n", "utf-8")
