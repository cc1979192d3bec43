from __future__ import annotations


def test_the_hosts_state(still):
    found = still.client.get("/api").data
    assert list(found) == ["status", "system", "gpu", "compilers", "version", "uptime"]
    assert found["status"] == "idle"
    assert found["system"] == {
        "downloads": {"active": 0, "queued": 0, "total": 0},
        "invocations": {"active": False, "queued": 0, "total": 0},
    }
    assert found["version"] == still.host.version
    assert isinstance(found["uptime"], float)


def test_every_compiler_says_whether_it_works_here_and_why_not(still):
    rows = still.client.get("/api").data["compilers"]
    offers = still.host.offers("compilers")
    assert [row["name"] for row in rows] == sorted(offers)
    assert {"onnxruntime", "tensorrt", "tensorrt_rtx", "torch_compile"} <= set(offers)
    for row in rows:
        assert row["reason"] == offers[row["name"]].missing()
        assert row["available"] == (row["reason"] is None)
    (full,) = [row for row in rows if row["name"] == "tensorrt"]
    assert "stretto[tensorrt]" in full["reason"] or "NVIDIA GPU" in full["reason"] or full["available"]
