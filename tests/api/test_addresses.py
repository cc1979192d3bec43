from __future__ import annotations

import pytest
from stretto.api.addresses import checked_url, dial, is_public
from stretto.host.errors import BadRequestError, UpstreamError


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.com/a", "gopher://example.com/", "data:,a", "//example.com/a", "a", "http://",
        "http://example.com:99999/", "http://[::1", "http://user:word@example.com/", "http://example.com/a b",
        "http://example.com/\r\nHost: x", "http://example.com\\@127.0.0.1/", "http://exämple.com/",
    ],
)  # fmt: skip
def test_what_is_no_web_address_is_refused_in_any_case(url):
    with pytest.raises(BadRequestError, match="url"):
        checked_url(url, private=True)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "a.localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0", "10.0.0.1", "172.16.0.1",
        "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fe80::1]",
        "[fd00::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "metadata.google.internal",
    ],
)  # fmt: skip
def test_this_machine_and_its_network_need_leave(host):
    checked_url(f"http://{host}/a", private=True)
    with pytest.raises(BadRequestError, match="allow_private_downloads"):
        checked_url(f"http://{host}/a", private=False)


def test_addresses_are_judged_by_what_is_connected_to():
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1::1")
    assert not is_public("::ffff:10.0.0.1")
    with pytest.raises(BadRequestError, match="allow_private_downloads"):
        dial("localhost", 9, 1.0, private=False)
    with pytest.raises(UpstreamError, match="cannot be reached"):
        dial("127.0.0.1", 1, 1.0, private=True)
    with pytest.raises(UpstreamError, match="cannot be found"):
        dial("nowhere.invalid", 80, 1.0, private=False)
