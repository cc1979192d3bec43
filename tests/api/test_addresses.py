from __future__ import annotations

import socket

import pytest
from stretto.api import addresses
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
        # written in other ways: octal, hexadecimal, in one number, with fewer dots, to the root, in capitals
        "0177.0.0.1", "0x7f000001", "017700000001", "0xa9fea9fe", "2852039166", "10.1", "192.168.257", "127.0.0.1.",
        "localhost.", "LOCALHOST", "printer.local.", "metadata.google.internal.",
        # IPv4 in IPv6: mapped, compatible, translated, local NAT64, Teredo, 6to4
        "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2001:0:7f00:1::1]",
        "[2002:a9fe:a9fe::]", "[64:ff9b::a9fe:a9fe]",
        # other parts of IPv6 and IPv4 that are nobody's on the Internet
        "[fe80::1%25eth0]", "[::1%25lo]", "[ff02::1]", "[fec0::1]", "[5f00::1]", "[100::1]", "[2001:db8::1]",
        "192.0.0.1", "192.0.2.1", "198.18.0.1", "240.0.0.1",
    ],
)  # fmt: skip
def test_this_machine_and_its_network_need_leave(host):
    checked_url(f"http://{host}/a", private=True)
    with pytest.raises(BadRequestError, match="allow_private_downloads"):
        checked_url(f"http://{host}/a", private=False)


class Names:
    """What the system's resolver says of a name, one answer a call."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)

    def __call__(self, _host, port, **_options):
        family = socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.answers.pop(0)]


def test_a_name_that_changes_its_address_is_asked_for_once(monkeypatch):
    """DNS rebinding: what is connected to is the address that was judged, and there is no second look."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        names = Names(("127.0.0.1",), ("93.184.216.34",))
        monkeypatch.setattr(addresses.socket, "getaddrinfo", names)
        checked_url(f"http://rebind.example:{port}/", private=False)
        with pytest.raises(BadRequestError, match="allow_private_downloads"):
            dial("rebind.example", port, 1.0, private=False)
        assert len(names.answers) == 1
        # the machine that was judged is the one that hears of it, whatever the name means by then
        monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
        names.answers = [("127.0.0.1",), ("10.0.0.1",)]
        dial("rebind.example", port, 1.0, private=False).close()
        assert names.answers == [("10.0.0.1",)]


def test_one_private_address_among_others_is_enough_to_refuse(monkeypatch):
    monkeypatch.setattr(addresses.socket, "getaddrinfo", Names(("93.184.216.34", "192.168.0.1")))
    with pytest.raises(BadRequestError, match="allow_private_downloads"):
        dial("both.example", 80, 1.0, private=False)


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
