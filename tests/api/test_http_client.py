from __future__ import annotations

import pytest
from stretto.api import addresses
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
