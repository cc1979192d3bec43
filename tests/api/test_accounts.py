from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from pony.orm import db_session
from stretto.api.accounts import (
    UserForm,
    add_user,
    change_user,
    first_administrator,
    form_of,
    log_in,
    people,
    remove_user,
)
from stretto.host.errors import AuthenticationError, BadRequestError, InvalidRequestError, NotFoundError


def form(name="ann", password="x", **more):  # noqa: S107  # nobody's
    return UserForm(username=name, new_password=password, repeat_password=password, **more)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (UserForm(), "Username is required."),
        (UserForm(username=""), "Username is required."),
        (form("Known"), "User Known already exists."),
        (form("known"), "User known already exists."),
        (form("noauth"), "User noauth already exists."),
        (UserForm(username="ann"), "Password is required."),
        (form(password=""), "Password is required."),
        (UserForm(username="ann", new_password="x"), "Passwords do not match."),
        (UserForm(username="ann", new_password="x", repeat_password="X"), "Passwords do not match."),
        (form("an n"), "The username 'an n' does not fit; it takes 1 to 64 letters a-z, digits and _."),
        (form("änn"), "The username 'änn' does not fit; it takes 1 to 64 letters a-z, digits and _."),
        (form("a" * 65), f"The username '{'a' * 65}' does not fit"),
        (form("ann\n"), "The username 'ann\\n' does not fit"),
        (form("../ann"), "The username '../ann' does not fit"),
    ],
)
def test_what_makes_no_user(records, asked, words):
    add_user(records, form("Known"))
    with pytest.raises(BadRequestError) as caught:
        add_user(records, asked)
    assert str(caught.value).startswith(words)
    assert len(people(records)) == 1


@pytest.mark.both_databases
def test_ids_are_never_used_again(records):
    first = add_user(records, form())
    remove_user(records, "ann")
    assert add_user(records, form()).id == first.id + 1


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("name", "asked", "error", "words"),
    [
        ("nobody", UserForm(), NotFoundError, "No user named nobody"),
        ("ann", UserForm(new_password="a", repeat_password="b"), BadRequestError, "Passwords do not match."),
        ("ann", UserForm(new_password="", repeat_password=""), BadRequestError, "Password is required."),
        ("enfugue", UserForm(admin=False), BadRequestError, "Cannot demote default user."),
        ("noauth", UserForm(admin=False), BadRequestError, "Cannot demote default user."),
        (
            "noauth",
            UserForm(new_password="a", repeat_password="a"),
            BadRequestError,
            "The user noauth is every",
        ),
    ],
)
def test_changes_that_are_refused(records, name, asked, error, words):
    first_administrator(records, "x")
    add_user(records, form())
    with pytest.raises(error, match=words):
        change_user(records, name, asked)
    log_in(records, "ann", "x")
    log_in(records, "enfugue", "x")


@pytest.mark.both_databases
def test_a_change_touches_only_what_it_names(records):
    add_user(records, form(first_name="A", last_name="B", admin=True))
    changed = change_user(records, "ANN", UserForm(last_name=""))
    assert (changed.first_name, changed.last_name, changed.admin) == ("A", None, True)
    assert change_user(records, "ann", UserForm(admin=False)).admin is False
    change_user(records, "ann", UserForm(new_password="ignored"))
    log_in(records, "ann", "x")


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("enfugue", BadRequestError, "Cannot delete default user."),
        ("noauth", BadRequestError, "Cannot delete default user."),
        ("nobody", NotFoundError, "No user named nobody"),
    ],
)
def test_removals_that_are_refused(records, name, error, words):
    first_administrator(records, "x")
    with pytest.raises(error, match=words):
        remove_user(records, name)
    assert len(people(records)) == 1


@pytest.mark.parametrize(("name", "password"), [("ann", "y"), ("nobody", "x"), ("noauth", ""), ("ann", "")])
def test_a_wrong_name_and_a_wrong_password_look_the_same(records, name, password):
    add_user(records, form())
    with pytest.raises(AuthenticationError, match=r"^Incorrect username or password\.$"):
        log_in(records, name, password)


@pytest.mark.both_databases
def test_logging_in_is_seen_and_takes_any_case(records):
    add_user(records, form("Ann"))
    assert people(records)[0].last_login is None
    token = log_in(records, "aNN", "x")
    assert people(records)[0].last_login == pytest.approx(token.created, abs=5)


@pytest.mark.both_databases
def test_an_outdated_hash_is_renewed_at_login(records):
    add_user(records, form())
    with db_session:
        records.user.get(username="ann").password = PasswordHasher(1, 8, 1).hash("x")
    log_in(records, "ann", "x")
    with db_session:
        assert "m=19456" in records.user.get(username="ann").password
    log_in(records, "ann", "x")


@pytest.mark.both_databases
def test_the_first_administrator_is_made_once(records):
    made = first_administrator(records, None)
    assert len(made) == 20
    assert first_administrator(records, "other") is None
    log_in(records, "enfugue", made)
    (person,) = people(records)
    assert (person.id, person.first_name, person.last_name, person.admin) == (1, "Default", "User", True)


def test_a_password_from_the_environment_is_not_told(records):
    assert first_administrator(records, "secret") is None
    log_in(records, "enfugue", "secret")


@pytest.mark.both_databases
def test_users_without_an_administrator_get_one(records):
    add_user(records, form())
    assert first_administrator(records, None)
    assert [person.username for person in people(records)] == ["ann", "enfugue"]


def test_form_takes_every_fault(records):
    with pytest.raises(InvalidRequestError) as caught:
        form_of({"username": 7, "admin": "perhaps", "first_name": ["x"], "id": 1})
    assert [fault.field for fault in caught.value.faults] == ["username", "first_name", "admin"]


def test_form_null_is_absent_but_for_names():
    assert form_of({"username": None, "first_name": None, "admin": "true"}) == UserForm(
        first_name="", admin=True
    )
