from __future__ import annotations

import ssl

import pytest
import trustme
from stretto.api import addresses, http_client
from stretto.api.http_client import opened
from stretto.host.errors import BadRequestError, UpstreamError

from .stand_in import standing_in


@pytest.fixture
def away():
    with standing_in() as other:
        other.files["/a"] = b"here"
        yield other


def test_redirects_are_followed_up_to_a_number(away):
    away.faults["/b"] = ["to /a", "to /b", "to /b", "to /b"]
    with opened(f"{away.url}/b", {}, private=True) as response:
        assert response.read() == b"here"
    with (
        pytest.raises(UpstreamError, match="more than 2 redirects"),
        opened(f"{away.url}/b", {}, private=True, redirects=2),
    ):
        pass


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_redirect_does_not_lead_into_the_network(away, host, monkeypatch):
    port = away.url.rpartition(":")[2]
    away.faults["/b"] = [f"to http://{host}:{port}/a"]
    # the stand-in is the one machine that counts as the Internet's
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    with pytest.raises(BadRequestError, match="allow_private_downloads"), opened(f"{away.url}/b", {}):
        pass
    assert [path for path, _ in away.asked] == ["/b"]


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1:{port}/a", "data:,here", "//127.0.0.2:{port}/a",
        "http://2130706434:{port}/a", "http://0x7f.2:{port}/a", "http://0177.0.0.2:{port}/a", "http://localhost.:{port}/a",
        "http://[::127.0.0.2]:{port}/a", "http://user:word@127.0.0.1:{port}/a", "http://127.0.0.1:99999/a",
        "http://127.0.0.1:{port}\\@127.0.0.2/a", "http://169.254.169.254/latest/meta-data/", "http://[fe80::1%25lo]/a",
    ],
)  # fmt: skip
def test_a_redirect_is_checked_as_what_was_asked_for_is(away, target, monkeypatch):
    away.faults["/b"] = [f"to {target.format(port=away.url.rpartition(':')[2])}"]
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    with pytest.raises(BadRequestError, match="url: "), opened(f"{away.url}/b", {}):
        pass
    assert [path for path, _ in away.asked] == ["/b"]


@pytest.fixture
def secure(monkeypatch, tmp_path):
    """A server whose certificate for 127.0.0.1 the client trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    monkeypatch.setattr(
        http_client, "_tls", lambda: ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    )
    with standing_in(context) as other:
        other.files["/a"] = b"here"
        yield other


def test_a_redirect_does_not_lead_from_https_to_http(secure, away):
    secure.faults["/b"] = ["to /a", f"to {away.url}/a"]
    with opened(f"{secure.url}/b", {}, private=True) as response:
        assert response.read() == b"here"
    with (
        pytest.raises(UpstreamError, match="from https to another scheme, which is not followed"),
        opened(f"{secure.url}/b", {}, private=True),
    ):
        pass
    assert away.asked == []


def test_a_certificate_of_a_stranger_is_refused(secure, monkeypatch):
    monkeypatch.setattr(http_client, "_tls", ssl.create_default_context)
    with (
        pytest.raises(UpstreamError, match=r"127\.0\.0\.1 has no valid certificate"),
        opened(f"{secure.url}/a", {}, private=True),
    ):
        pass
    assert secure.asked == []
