from __future__ import annotations

import pytest
from stretto.api.access import NO_AUTH, User
from stretto.api.accounts import UserForm, add_user, log_in
from stretto.api.auth import MAX_KEYS, Attempts, Auth, network_of
from stretto.host.errors import AuthenticationError, TooManyRequestsError


@pytest.fixture
def token(records):
    add_user(records, UserForm(username="ann", new_password="x", repeat_password="x"))
    return log_in(records, "ann", "x").text


ANN = User(id=1, username="ann", admin=False)


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_AUTHORIZATION": "Bearer {}"},
        {"HTTP_AUTHORIZATION": "bearer  {} "},
        {"HTTP_AUTHENTICATION": "Bearer {}"},
        {"HTTP_COOKIE": "a=b; enfugue_token={}"},
        {"HTTP_AUTHORIZATION": "Bearer ", "HTTP_COOKIE": "enfugue_token={}"},
        {"HTTP_AUTHORIZATION": "Bearer " + "0" * 32, "HTTP_AUTHENTICATION": "Bearer {}"},
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_a_token_is_taken_from(records, token, environ, required):
    sent = {name: value.format(token) for name, value in environ.items()}
    assert Auth(records, lambda: required).caller(sent) == ANN


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HTTP_AUTHORIZATION": "Bearer "},
        {"HTTP_AUTHORIZATION": "Basic {}"},
        {"HTTP_AUTHORIZATION": "{}"},
        {"HTTP_AUTHORIZATION": "Bearer {}x"},
        {"HTTP_COOKIE": "enfugue={}"},
        {"HTTP_COOKIE": "enfugue_token={}; [=\x00"},
        {"HTTP_COOKIE": "\xff"},
    ],
)
def test_what_is_no_usable_token(records, token, environ):
    sent = {name: value.format(token.upper()) for name, value in environ.items()}
    assert Auth(records, lambda: True).caller(sent) is None
    assert Auth(records, lambda: False).caller(sent) is NO_AUTH


def test_the_cookie_of_no_authentication_is_worth_nothing_with_it(records):
    auth = Auth(records, lambda: True)
    assert auth.caller({"HTTP_COOKIE": f"enfugue_token={auth.noauth_token}"}) is None


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_failures_from_one_address_are_limited():
    clock = Clock()
    attempts = Attempts(clock)
    for number in range(10):
        attempts.begin("192.0.2.1", f"name{number}")
        clock.now += 1
    with pytest.raises(TooManyRequestsError, match="try again in 51 seconds") as caught:
        attempts.begin("192.0.2.1", "another")
    assert caught.value.retry_after_s == 51
    attempts.begin("192.0.2.2", "another")
    clock.now += 51
    attempts.begin("192.0.2.1", "another")


def test_failures_as_one_name_are_limited_in_any_case_and_from_anywhere():
    attempts = Attempts(Clock())
    for number in range(30):
        attempts.begin(f"192.0.2.{number}", "Ann")
    with pytest.raises(TooManyRequestsError):
        attempts.begin("192.0.2.200", "ann")
    attempts.begin("192.0.2.200", "bob")


def test_what_succeeded_does_not_count():
    attempts = Attempts(Clock())
    for _ in range(100):
        attempts.begin("192.0.2.1", "ann")()


def test_memory_is_bounded():
    attempts = Attempts(Clock())
    for number in range(MAX_KEYS):
        attempts.begin("192.0.2.1", f"a{number}") if number < 10 else attempts._failed.setdefault(
            f"k{number}", attempts._failed["as a0"]
        )
    attempts._failed.update({f"m{number}": attempts._failed["as a0"] for number in range(50)})
    attempts.begin("198.51.100.1", "new")
    assert len(attempts._failed) <= MAX_KEYS + 2


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "::/64"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("", "elsewhere"),
        ("unix:", "elsewhere"),
    ],
)
def test_networks(address, network):
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("username", "password"), [(None, "x"), ("x", None), ("", "x"), ("x", ""), (7, "x"), (["x"], "x")]
)
def test_missing_credentials(records, username, password):
    with pytest.raises(AuthenticationError, match=r"^Missing username or password\.$"):
        Auth(records, lambda: True).log_in(username, password, "127.0.0.1")
