"""Parameters that are changed for a while: new storage where there is room, else written over; the same bits after."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch
from stretto.plugins.patchers.swapping import Swaps


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("room", [True, False])
def test_changes_are_undone_the_last_one_first(room, dtype):
    parameter = torch.nn.Parameter(torch.randn(6, 4, 3, 3).to(dtype).to(memory_format=torch.channels_last))
    before, strides, pointer = parameter.detach().clone(), parameter.stride(), parameter.data_ptr()
    with ExitStack() as undo:
        swaps = Swaps(undo, room=room)
        for number in (1.0, 2.0):
            swaps.write(parameter, torch.full((6, 4, 3, 3), number))
            assert (parameter == number).all()
            assert (parameter.dtype, parameter.stride()) == (dtype, strides)
        assert (parameter.data_ptr() == pointer) == (not room)
    assert torch.equal(parameter, before)
    assert (parameter.data_ptr(), parameter.stride()) == (pointer, strides)


@pytest.mark.parametrize(("free_gb", "room"), [(20, True), (12.1, True), (11.9, False), (1, False)])
def test_a_gpu_has_room_while_half_of_it_is_free(monkeypatch, free_gb, room):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (int(free_gb * 2**30), 24 * 2**30))
    with ExitStack() as undo:
        assert Swaps.on(torch.device("cuda"), undo).room is room
        assert Swaps.on(torch.device("cpu"), undo).room is True
        assert Swaps.on(torch.device("mps"), undo).room is False
