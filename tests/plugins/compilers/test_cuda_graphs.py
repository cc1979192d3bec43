"""Which calls of an engine are captured, and what a replay reads and writes; the capturing itself is a GPU's."""

from __future__ import annotations

import pytest
import torch
from stretto.host import EngineOpenError
from stretto.plugins.compilers.cuda_graphs import Graphs, Replayed, Tensors, held


class Doubling:
    """Captures a call that doubles its only input, as a graph does: over memory that stays where it is."""

    def __init__(self) -> None:
        self.captured: list[int] = []
        self.fault: EngineOpenError | None = None

    def __call__(self, given: Tensors) -> Replayed:
        if self.fault is not None:
            raise self.fault
        inputs = held(given)
        outputs = (torch.zeros_like(inputs["x"]),)
        self.captured.append(len(inputs["x"]))

        def replay() -> None:
            outputs[0].copy_(inputs["x"] * 2)

        return Replayed(replay=replay, inputs=inputs, outputs=outputs)


@pytest.fixture
def capture() -> Doubling:
    return Doubling()


def called(graphs: Graphs, rows: int, value: float = 1.0) -> list[float] | None:
    with torch.inference_mode():
        found = graphs({"x": torch.full((rows,), value)})
    return None if found is None else found[0].tolist()


def test_the_second_call_of_a_batch_is_captured_and_replays_give_what_their_inputs_ask(
    capture: Doubling,
) -> None:
    graphs = Graphs("it", capture, most=4)
    assert called(graphs, 1) is None
    assert capture.captured == []
    assert called(graphs, 1, 3.0) == [6.0]
    assert called(graphs, 2) is None  # another batch begins anew
    assert called(graphs, 2, 4.0) == [8.0, 8.0]
    assert called(graphs, 1, 5.0) == [10.0]
    assert capture.captured == [1, 2]


def test_outputs_are_not_overwritten_by_the_next_call(capture: Doubling) -> None:
    graphs = Graphs("it", capture, most=4)
    graphs({"x": torch.ones(1)})
    first, second = (graphs({"x": torch.full((1,), value)}) for value in (1.0, 7.0))
    assert first is not None
    assert second is not None
    assert (first[0].item(), second[0].item()) == (2.0, 14.0)


def test_the_longest_unused_goes_once_nothing_of_it_is_at_work(capture: Doubling) -> None:
    waited: list[int] = []
    graphs = Graphs("it", capture, most=2, settle=lambda: waited.append(1))
    for rows in (1, 2, 3):
        called(graphs, rows)
        called(graphs, rows)
    assert waited == [1]
    assert called(graphs, 1) == [2.0]  # captured anew
    assert capture.captured == [1, 2, 3, 1]


def test_without_a_way_to_let_go_further_batches_are_called_plainly(capture: Doubling) -> None:
    graphs = Graphs("it", capture, most=1)
    for _ in range(2):
        called(graphs, 1)
    assert [called(graphs, 2) for _ in range(3)] == [None, None, None]
    assert called(graphs, 1) == [2.0]


def test_what_cannot_be_captured_is_called_plainly_from_then_on_and_said(
    capture: Doubling, caplog: pytest.LogCaptureFixture
) -> None:
    graphs = Graphs("the engine of the unet", capture, most=4)
    called(graphs, 1)
    called(graphs, 1)
    capture.fault = EngineOpenError("a stream is busy")
    called(graphs, 2)
    assert called(graphs, 2) is None
    assert graphs.given_up
    assert called(graphs, 1) is None
    (said,) = caplog.messages
    assert said == "the engine of the unet is called without CUDA graphs from now on: a stream is busy"
