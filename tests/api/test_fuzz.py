"""The whole OpenAPI document under schemathesis, as an administrator and as a stranger: no answer of 500, none undocumented.

`make fuzz` runs the same with FUZZ_EXAMPLES examples a call, in every phase and on both databases.
"""

from __future__ import annotations

import os
import sys
from io import BytesIO

import pytest
from PIL import Image
from stretto.api.accounts import UserForm, add_user, first_administrator

from .client import QUICK, Still
from .fuzzing import READINESS, Fuzz
from .stand_in import StandIn, standing_in, weights

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
PHASES = ["examples", "coverage", "fuzzing", "stateful"] if EXAMPLES else ["fuzzing"]
BOUNDED = 6

if EXAMPLES:
    pytestmark = pytest.mark.both_databases


def filled(still: Still) -> dict[str, str]:
    """Put something of every kind on the server, and say how paths lead to it."""
    records, folders = still.store.records, still.folders
    first_administrator(records, "enfugue")
    add_user(records, UserForm(username="ann", new_password="ann", repeat_password="ann"))
    still.client.post("/api/models", {"name": "mine", "checkpoint": "starter", "lora": ["a.safetensors"]})
    (folders.model_folder("lora") / "a.safetensors").write_bytes(weights(8))
    uuid = still.client.post("/api/invoke", QUICK).data["uuid"]
    still.host.stop(uuid)
    picture = BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "PNG")
    (folders.images / f"{uuid}_0.png").write_bytes(picture.getvalue())
    return {
        "uuid": uuid,
        "name": "mine",
        "username": "ann",
        "directory": "lora",
        "file": "a.safetensors",
        "kind": "lora",
        "slug": "not-found",
        "model": "starter",
        "network": "unet",
        "type": "unet",
    }


@pytest.fixture
def stand_in():
    with standing_in() as state:
        state.answer = lambda _query: {"items": [{"name": "a", "description": "<p>b</p>"}]}
        yield state


@pytest.mark.timeout(3600 if EXAMPLES else 180)
@pytest.mark.parametrize("admin", [True, False], ids=["administrator", "stranger"])
@pytest.mark.parametrize("running", [False, True], ids=["all", "readiness"])
def test_fuzz(
    still: Still, stand_in: StandIn, running: bool, admin: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz = Fuzz(still=still, known=filled(still), civitai_url=stand_in.url, admin=admin)
    if running:
        still.host.start()
    fuzz.run(PHASES, EXAMPLES or BOUNDED)
    with capsys.disabled():
        told = [fuzz.summary(), *(f"- {words}\n  {again}" for words, again in fuzz.failures.items())]
        sys.stdout.write("\n".join(["", *told, ""]) if EXAMPLES else "")
    assert not fuzz.failures, "\n".join(told)
    paths = still.client.get("/api/openapi.json").json["paths"]
    asked = [path for path in paths if (path == READINESS) == running]
    assert len({operation for operation, _ in fuzz.statuses}) == sum(len(paths[path]) for path in asked)
