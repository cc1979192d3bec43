from __future__ import annotations

import pickle

import pytest

from ..client import QUICK
from ..stand_in import weights
from ..test_arrivals import older, zipped

FILE = weights(5000)


def form(name, content=FILE, field="file"):
    head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'
    return b"".join(
        [
            b'--xyz\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n--xyz\r\n',
            head.encode(), b"\r\nContent-Type: application/octet-stream\r\n\r\n", content, b"\r\n--xyz--\r\n",
        ]
    )  # fmt: skip


def send(client, body, kind="lora"):
    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    return client.call("POST", f"/api/installation/{kind}", body, headers)


def test_a_file_is_sent_counted_listed_and_removed(still):
    client = still.client
    assert send(client, form("a.safetensors")).data == {
        "type": "file",
        "name": "a.safetensors",
        "bytes": len(FILE),
    }
    assert (still.folders.model_folder("lora") / "a.safetensors").read_bytes() == FILE
    found = client.get("/api/installation").data
    assert {"cache", "diffusers", "checkpoint", "lora", "lycoris", "inversion", "tensorrt", "other"} <= set(
        found
    )
    path = str(still.folders.model_folder("lora"))
    assert found["lora"] == {"items": 1, "files": 1, "bytes": len(FILE), "path": path}
    rows = [{"type": "file", "name": "a.safetensors", "bytes": len(FILE)}]
    assert client.get("/api/installation/lora").data == rows
    assert client.get("/api/installation/unknown").data == []
    assert send(client, form("a.safetensors")).status == 409
    assert client.delete("/api/installation/lora/a.safetensors").data is None
    gone = client.delete("/api/installation/lora/a.safetensors")
    assert (gone.status, gone.details) == (400, ["Unknown engine file/directory lora/a.safetensors"])


FILE_NAMES = [
    "../a.ckpt", "/a.ckpt", "..\\a.ckpt", ".a.ckpt", "a.py", "a/b.ckpt", "%2e%2e%2fa.ckpt", "a.ckpt/..", "a.ckpt.exe", "a.ckpt ",
    "CON|a.ckpt", "a:b.ckpt", "-a.ckpt", "~a.ckpt", "$(a).ckpt", "a;b.ckpt", "ä.ckpt", "\uff0e\uff0e/a.ckpt", "a", ".ckpt",
    "a.html", "a.svg", "x" * 250 + ".ckpt",
]  # fmt: skip


def test_other_file_names_are_refused(still):
    for name in FILE_NAMES:
        assert send(still.client, form(name)).status == 400, name
        assert list(still.folders.model_folder("lora").iterdir()) == [], name


@pytest.mark.parametrize("body", [b"", b"--", b"{}", b"--xyz\r\n", form("a.ckpt", field="other"), form("")])
def test_other_bodies_are_refused(still, body):
    answer = send(still.client, body)
    assert (answer.status, answer.details) == (400, ["File is missing."])


def test_content_is_looked_at(still):
    answer = send(still.client, form("a.safetensors", FILE[:-1]))
    assert answer.status == 400
    assert "not a whole safetensors file" in answer.details[0]
    assert list(still.folders.model_folder("lora").iterdir()) == []
    assert "Unknown directory" in send(still.client, form("a.ckpt"), "unknown").details[0]


class Run:
    """Unpickled, it makes a file."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self):
        return open, (self.place, "w")


def test_a_pickle_that_torch_did_not_write_is_refused_on_arrival(still):
    answer = send(still.client, form("pickle.ckpt", pickle.dumps({"a": 1, "b": "cd"})), "checkpoint")
    assert answer.status == 400
    assert answer.details[0].startswith("file: pickle.ckpt is no file that torch wrote")
    assert still.client.get("/api/installation/checkpoint").data == []


def test_nothing_that_is_sent_is_unpickled(still, tmp_path):
    marker = tmp_path / "it ran"
    evil = pickle.dumps({"state_dict": Run(str(marker))})
    pickle.loads(evil)["state_dict"].close()  # noqa: S301  # so it would run
    marker.unlink()
    client = still.client
    for kind in ("checkpoint", "lora"):
        for name, content in (
            ("a.ckpt", older(evil)),
            ("b.pt", older(evil)),
            ("c.pth", zipped(evil)),
            ("d.bin", zipped(evil)),
        ):
            assert send(client, form(name, content), kind).status == 200
        assert send(client, form("e.ckpt", evil), kind).status == 400
    for path in (
        "checkpoints",
        "lora",
        "inversions",
        "model-options",
        "installation",
        "installation/checkpoint",
    ):
        assert client.get(f"/api/{path}").status == 200
    client.post("/api/models", {"name": "evil", "checkpoint": "c.pth", "lora": ["a.ckpt", "b.pt"]})
    assert client.get("/api/models/evil/status").status == 200
    for body in (
        {"model": "evil"},
        {"model": "a.ckpt"},
        {"lora": "c.pth"},
        {"vae": "d.bin"},
        {"inversion": "b.pt"},
    ):
        assert client.post("/api/plan", {**QUICK, **body}).status in (200, 400, 404)
    assert not marker.exists()


@pytest.mark.parametrize(
    "path", ["lora/..", "lora/%2e%2e%2fcheckpoint", "cache/diffusers", "../models/lora", "x/y"]
)
def test_nothing_else_can_be_removed(still, path):
    assert still.client.delete(f"/api/installation/{path}").status in (400, 404)
    assert still.folders.model_folder("checkpoint").is_dir()


def test_other_folders_of_the_data_directory_are_used_too(still, tmp_path):
    client, place = still.client, still.folders.root / "more"
    long = client.post("/api/installation", {"directories": {"lora": f"{place}/{300 * 'a'}"}})
    assert long.status == 400
    asked = {"directories": {"lora": str(place)}}
    refused = client.post("/api/installation", asked)
    assert (refused.status, refused.details) == (400, [f"Directory does not exist: {place}"])
    assert client.post("/api/installation", asked | {"create": True}).data["lora"]["also"] == [str(place)]
    (place / "b.safetensors").write_bytes(FILE)
    assert client.get("/api/lora").data == ["b.safetensors"]
    outside = client.post("/api/installation/vae/move", {"directory": str(tmp_path)})
    assert outside.status == 400
    assert "stretto models import" in outside.details[0]


def test_only_administrators_see_and_change(signed):
    for method, path in (
        ("GET", ""),
        ("POST", ""),
        ("GET", "/lora"),
        ("POST", "/lora"),
        ("DELETE", "/lora/a"),
    ):
        assert signed.ann.call(method, f"/api/installation{path}").status == 403
