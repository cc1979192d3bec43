from __future__ import annotations

from dataclasses import asdict

import pytest
from stretto.api.settings_store import SettingsStore
from stretto.host.settings import Settings

SEED = {
    "safe": False,
    "auth": False,
    "max_queued_invocations": 4,
    "max_queued_downloads": 10,
    "max_concurrent_downloads": 2,
    "switch_mode": "offload",
    "cache_mode": "xl",
    "precision": None,
}


def test_settings_begin_with_the_seeds(still):
    found = still.client.get("/api/settings").data
    assert list(found.items())[: len(SEED)] == list(SEED.items())
    assert found == asdict(Settings())


def test_a_change_holds_at_once_and_after_a_restart(still):
    assert (
        still.client.post("/api/settings", {"max_queued_invocations": 7}).data["max_queued_invocations"] == 7
    )
    assert still.host.settings.max_queued_invocations == 7
    assert still.client.get("/api/settings").data["max_queued_invocations"] == 7
    assert SettingsStore(still.store.records).load().max_queued_invocations == 7


def test_an_empty_body_changes_nothing(still):
    assert still.client.post("/api/settings").data == asdict(Settings())


def test_faults_are_400_with_their_fields(still):
    answer = still.client.post("/api/settings", {"safe": "perhaps", "max_queued_invocations": True})
    assert answer.status == 400
    assert answer.details == [
        'safe: "perhaps" is not true or false',
        "max_queued_invocations: true is not a whole number from 0 to 100000",
    ]


@pytest.mark.parametrize("body", [{"auth": True}, {"auth": True, "cache_mode": None}, {"safe": False}, {}])
def test_tokens_outlive_what_does_not_change_authentication(signed, body):
    assert signed.admin.post("/api/settings", body).data["auth"] is True
    assert signed.ann.get("/self").status == 200


def test_switching_authentication_revokes_every_token(signed):
    assert signed.admin.post("/api/settings", {"auth": False}).data["auth"] is False
    assert signed.ann.get("/self").data["attributes"]["username"] == "noauth"
    assert signed.still.client.post("/api/settings", {"auth": True}).data["auth"] is True
    assert signed.admin.get("/api/settings").status == 401
    assert signed.ann.get("/self").status == 401


@pytest.mark.parametrize("auth", [False, "false", 0])
def test_a_server_that_others_reach_does_not_open_itself(signed, auth):
    from stretto.api.auth_switch import refuse_unguarded
    from stretto.api.routing import services_of
    from stretto.host.errors import StateConflictError

    services = services_of(signed.still.host, signed.still.store, guarded=True)
    with pytest.raises(StateConflictError, match="start it again with --no-auth"):
        refuse_unguarded(services, {"auth": auth})
    refuse_unguarded(services, {"auth": True})
    refuse_unguarded(services, {"safe": True})


def test_a_model_that_is_not_here_is_refused_by_name(still):
    before = still.client.get("/api/settings").data
    answer = still.client.post("/api/settings", {"model": "nope", "max_queued_invocations": -1})
    assert answer.status == 400
    assert [detail.split(":")[0] for detail in answer.details] == ["max_queued_invocations", "model"]
    assert "nope" in answer.details[1]
    for name in ("../../etc/passwd", ""):
        assert still.client.post("/api/settings", {"model": name}).status == 400
    assert still.client.get("/api/settings").data == before
    assert still.client.post("/api/settings", {"model": "starter"}).data["model"] == "starter"


def test_a_stored_model_is_a_model(still):
    assert still.client.post("/api/models", {"name": "mine", "checkpoint": "starter"}).status == 200
    assert still.client.post("/api/settings", {"model": "mine"}).data["model"] == "mine"
    assert still.client.post("/api/invoke", {"prompt": "x"}).status == 200


def test_a_safety_checker_that_is_not_here_is_refused_with_the_reason(still):
    answer = still.client.post("/api/settings", {"safe": True, "model": "nope"})
    assert answer.status == 400
    assert [detail.split(":")[0] for detail in answer.details] == ["safe", "model"]
    assert still.host.settings.safe is False


@pytest.mark.parametrize("url", ["file:///etc/passwd", "civitai.com", "", "https://", "http://a:b@c.example"])
def test_an_address_of_civitai_that_cannot_be_read_from_is_refused(still, url):
    before = still.client.get("/api/settings").data
    answer = still.client.post("/api/settings", {"civitai_url": url})
    assert answer.status == 400
    assert answer.details[0].startswith("civitai_url: ")
    assert ("send an http or https URL" in answer.details[0]) == (
        url in ("file:///etc/passwd", "civitai.com", "https://")
    )
    assert still.client.get("/api/settings").data == before


def test_civitai_may_be_another_server_of_ones_own(still):
    url = "http://127.0.0.1:8080/mirror"
    assert still.client.post("/api/settings", {"civitai_url": url}).data["civitai_url"] == url
