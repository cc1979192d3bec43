from __future__ import annotations

import time

import pytest
from pony.orm import db_session
from stretto.api.accounts import UserForm, add_user, change_user, log_in, remove_user
from stretto.api.tokens import LIFE_S, issue, owner, revoke_all


@pytest.fixture
def ann(records):
    return add_user(records, UserForm(username="Ann", new_password="x", repeat_password="x", admin=True))


def token_of(records, person):
    with db_session(immediate=True):
        return issue(records, person.id)


@pytest.mark.both_databases
def test_a_token_stands_for_its_user(records, ann):
    token = token_of(records, ann)
    assert len(token.text) == 32
    assert token.expires == token.created + 730 * 3600
    found = owner(records, token.text)
    assert (found.id, found.username, found.admin) == (ann.id, "Ann", True)


@pytest.mark.both_databases
def test_the_database_never_holds_the_text(records, folders, other, ann):
    token = token_of(records, ann)
    stored = repr([other(f'SELECT * FROM "{table}"') for table in records.database.schema.tables]).encode()  # noqa: S608
    stored += b"".join(file.read_bytes() for file in folders.root.glob("stretto.db*"))
    assert b"Ann" in stored
    assert token.text.encode() not in stored


@pytest.mark.parametrize("text", ["", "0" * 32, "0" * 31, "G" * 32, "' OR 1=1 --", "0" * 64, "é" * 32])
def test_what_is_no_token(records, ann, text):
    token_of(records, ann)
    assert owner(records, text) is None


@pytest.mark.both_databases
def test_an_expired_token_is_nobodys_and_goes_with_the_next_login(records, ann):
    token = token_of(records, ann)
    with db_session(immediate=True):
        records.token[token.id].expires = time.time() - 1
    assert owner(records, token.text) is None
    token_of(records, ann)
    with db_session:
        assert records.token.get(id=token.id) is None


@pytest.mark.both_databases
def test_tokens_last_until_their_time(records, ann, monkeypatch):
    token = token_of(records, ann)
    monkeypatch.setattr("stretto.api.tokens.time.time", lambda: token.created + LIFE_S - 1)
    assert owner(records, token.text) is not None
    monkeypatch.setattr("stretto.api.tokens.time.time", lambda: token.created + LIFE_S)
    assert owner(records, token.text) is None


@pytest.mark.both_databases
def test_another_password_revokes_and_a_name_does_not(records, ann):
    token = log_in(records, "ann", "x")
    change_user(records, "ann", UserForm(first_name="A", new_password="y"))
    assert owner(records, token.text) is not None
    change_user(records, "ann", UserForm(new_password="y", repeat_password="y"))
    assert owner(records, token.text) is None


@pytest.mark.both_databases
def test_removal_revokes(records, ann):
    token = token_of(records, ann)
    remove_user(records, "Ann")
    assert owner(records, token.text) is None
    with db_session:
        assert records.token.select().count() == 0


@pytest.mark.both_databases
def test_a_change_of_level_holds_for_tokens_that_are_out(records, ann):
    token = token_of(records, ann)
    change_user(records, "Ann", UserForm(admin=False))
    assert owner(records, token.text).admin is False


@pytest.mark.both_databases
def test_all_can_be_revoked(records, ann):
    tokens = [token_of(records, ann) for _ in range(3)]
    revoke_all(records)
    assert [owner(records, token.text) for token in tokens] == [None] * 3
