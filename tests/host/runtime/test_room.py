import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from stretto.host.runtime.room import roomy

TURNS = 1000


def faults_below(depth: int) -> int:
    """Count the pages that a loop of calls has mapped anew, at a depth of the stack."""

    def call(left: int) -> int:
        return left and call(left - 1)

    def down(left: int) -> int:
        if left:
            return down(left - 1)
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for _ in range(TURNS):
            call(3)
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    return down(depth)


def worst(measure: Callable[[int], int]) -> int:
    with ThreadPoolExecutor(1) as thread:  # whose stack begins anew
        return thread.submit(lambda: max(measure(depth) for depth in range(300))).result()


def test_no_loop_maps_memory_at_every_turn_wherever_it_is_called():
    assert worst(roomy(faults_below)) < TURNS / 2
    assert worst(faults_below) >= TURNS  # what it is for


def test_a_function_stays_itself():
    @roomy
    def named(one: int, *, two: int = 2) -> tuple[int, int]:
        """Say so."""
        return one, two

    assert (named(1), named(1, two=3)) == ((1, 2), (1, 3))
    assert (named.__name__, named.__doc__) == ("named", "Say so.")
