"""What is said beside the targets of a GPU: the best of all ways, the worst of all models, and why nothing was measured."""

from __future__ import annotations

from benchmarks.gpu.targets import FIGURES, TARGETS, Figure, Measured, judged


def row(found: list[Measured], figures: list[Figure], what: str) -> dict[str, str]:
    return dict(next(row for row in judged(found, figures) if what in row["target"]))


def test_what_was_not_measured_says_so_with_what_would() -> None:
    rows = judged([], [])
    assert len(rows) == len(TARGETS) + len(FIGURES)
    assert {one["met"] for one in rows} == {"not measured"}
    assert row([], [], "fp8")["by"].startswith("there is no fp8 among our precisions")
    assert row([], [], "HTTP")["by"] == "--only service measures it"


def test_the_best_way_counts_and_pictures_without_guidance_do_not() -> None:
    slow, fast = (
        Measured(way=way, model="sdxl", batch=1, step_ms=ms, decode_ms=100)
        for way, ms in (("torch", 50.0), ("torch_compile", 30.0))
    )
    bare = Measured(way="bare", model="sdxl", batch=1, step_ms=1, decode_ms=1, guided=False)
    found = row([slow, fast, bare], [], "30 steps")
    assert (found["measured"], found["by"], found["met"]) == ("1", "torch_compile, batch 1", "aim")
    assert row([slow], [], "30 steps")["met"] == "missed"  # 1.6 s


def test_the_worst_model_counts() -> None:
    figures = [Figure(name="gap", value=2.0, by="sd15"), Figure(name="gap", value=8.0, by="sdxl")]
    found = row([], figures, "gap between")
    assert (found["measured"], found["by"], found["met"]) == ("8", "sdxl", "must")
    ratios = [Figure(name="ratio", value=0.995, by="sd15"), Figure(name="ratio", value=0.9, by="sdxl")]
    found = row([], ratios, "HTTP")
    assert (found["measured"], found["by"], found["met"]) == ("0.9", "sdxl", "missed")
