from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from pony.orm import db_session
from stretto.api.accounts import UserForm, add_user, log_in
from stretto.api.settings_store import SettingsStore
from stretto.api.tokens import owner
from stretto.host.errors import ConfigurationError, InvalidRequestError
from stretto.host.settings import Settings

pytestmark = pytest.mark.both_databases


@pytest.fixture
def settings(records):
    return SettingsStore(records)


def test_defaults_until_something_changes(settings):
    assert settings.load() == Settings()


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"cache_mode": None}, "cache_mode", None),
        ({"cache_mode": ""}, "cache_mode", None),
        ({"switch_mode": False}, "switch_mode", None),
        ({"switch_mode": "unload"}, "switch_mode", "unload"),
        ({"precision": "half"}, "precision", "float16"),
        ({"precision": "full"}, "precision", "float32"),
        ({"max_queued_invocations": "9"}, "max_queued_invocations", 9),
        ({"safe": "true"}, "safe", True),
        ({"auth": False}, "auth", False),
        ({"auth": "yes"}, "auth", True),
        ({"model": "other"}, "model", "other"),
        ({"pool_budget_bytes": 2**40}, "pool_budget_bytes", 2**40),
        ({"pool_budget_bytes": None}, "pool_budget_bytes", None),
        ({"idle_timeout_s": 60}, "idle_timeout_s", 60.0),
    ],
)
def test_a_change_is_kept_and_the_rest_stays(settings, records, change, name, value):
    expected = replace(Settings(), **{name: value})
    assert settings.change(change) == expected
    assert SettingsStore(records).load() == expected


def test_every_fault_at_once_and_nothing_is_kept(settings):
    with pytest.raises(InvalidRequestError) as caught:
        settings.change({"safe": None, "max_queued_invocations": -1, "switch_mode": "of", "model": "x"})
    assert [fault.field for fault in caught.value.faults] == ["safe", "max_queued_invocations", "switch_mode"]
    assert "did you mean" in caught.value.faults[2].message or "one of" in caught.value.faults[2].message
    assert settings.load() == Settings()


def test_unknown_keys_are_logged_and_ignored(settings, caplog):
    with caplog.at_level(logging.INFO, "stretto.api.settings_store"):
        assert settings.change({"bogus": 1}) == Settings()
    assert "bogus" in caplog.text


def test_a_stored_value_that_no_longer_fits(settings, records):
    with db_session:
        records.setting(name="max_queued_invocations", value='"many"')
        records.setting(name="of_another_release", value="1")
    with pytest.raises(ConfigurationError, match='max_queued_invocations: "many" is not a whole number'):
        settings.load()


def test_only_another_auth_revokes_tokens(settings, records):
    add_user(records, UserForm(username="ann", new_password="x", repeat_password="x"))
    token = log_in(records, "ann", "x").text
    for change in ({"auth": False}, {"auth": "no", "safe": False}, {"cache_mode": None}):
        settings.change(change)
        assert owner(records, token) is not None
    settings.change({"auth": True})
    assert owner(records, token) is None
