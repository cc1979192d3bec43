"""Waitress' answers, byte for byte, at less cost: names and dates are written once, and header and body sent as one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from waitress.task import WSGITask
from waitress.utilities import build_http_date

__all__ = ["HttpTask"]

RARE = {"Connection", "Date", "Server"}  # headers by which Waitress writes others


class HttpTask(WSGITask):  # type: ignore[misc]  # waitress has no types
    """One request; an answer of known length over a connection that stays goes the short way, all others Waitress'."""

    wrote_header: bool = False

    def build_response_header(self) -> bytes:
        """Write the status line and the headers, which come in the order of their names."""
        headers = [(_capitalized(name), value) for name, value in self.response_headers]
        names = {name for name, _ in headers}
        if self.content_length is None or not self._stays() or RARE & names:
            slow: bytes = super().build_response_header()
            return slow
        if "Content-Length" not in names:
            headers.append(("Content-Length", str(self.content_length)))
        headers.append(("Date", _date(int(self.start_time))))
        headers.sort(key=_name)
        lines = [f"HTTP/1.1 {self.status}", *[f"{name}: {value}" for name, value in headers]]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def write(self, data: bytes) -> None:
        """Send a part of the body, after the headers if they are not yet sent."""
        whole = self.complete and not self.wrote_header and self.content_length == len(data)
        if not (data and whole and self.has_body):
            super().write(data)
            return
        header = self.build_response_header()
        self.channel.write_soon(header + data)
        self.wrote_header = True
        self.content_bytes_written = len(data)

    def _stays(self) -> bool:
        asked = self.request.headers.get("CONNECTION", "").lower()
        return self.version == "1.1" and self.has_body and not self.close_on_finish and asked != "close"


@lru_cache(maxsize=256)
def _capitalized(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


@lru_cache(maxsize=2)
def _date(unix_s: int) -> str:
    return str(build_http_date(unix_s))


def _name(header: tuple[str, Any]) -> str:
    return header[0]
