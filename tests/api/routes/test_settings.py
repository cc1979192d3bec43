from __future__ import annotations

from dataclasses import asdict

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


def test_authentication_is_501(still):
    answer = still.client.post("/api/settings", {"auth": True})
    assert answer.status == 501
    assert answer.json["errors"][0]["title"] == "NotImplementedError"


def test_a_model_that_is_not_here_is_refused_by_name(still):
    before = still.client.get("/api/settings").data
    answer = still.client.post("/api/settings", {"model": "nope", "max_queued_invocations": -1})
    assert answer.status == 400
    assert [detail.split(":")[0] for detail in answer.details] == ["max_queued_invocations", "model"]
    assert "nope" in answer.details[1]
    assert still.client.post("/api/settings", {"model": "../../etc/passwd"}).status == 400
    assert still.client.get("/api/settings").data == before
    assert still.client.post("/api/settings", {"model": "starter"}).data["model"] == "starter"
