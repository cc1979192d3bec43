"""What stands in the file after a picture, and after a host."""

import json

import pytest
from stretto.host import Finished, InvocationRequest
from stretto_jsonlog import line_of

pytestmark = pytest.mark.stretto(plugins=["jsonlog"])
REQUEST = InvocationRequest(prompt="a red circle", width=64, height=64, num_inference_steps=2, seed=1)


def lines(host, name="events.jsonl"):
    text = (host.folders.root / name).read_text("utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_is_json_with_class_and_time():
    line = line_of(Finished(job="abc", number=7, at=0.5, images=("é.png",), seconds=1.25))
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "event": "Finished",
        "at": "1970-01-01T00:00:00.500+00:00",
        "job": "abc",
        "number": 7,
        "images": ["é.png"],
        "seconds": 1.25,
    }


def test_a_job_is_told_from_start_to_finish(host):
    done = host.run_here(host.plan(REQUEST))
    found = [line for line in lines(host) if line["job"] == done.job]
    events = [line["event"] for line in found]
    assert (events[0], events[-1]) == ("Started", "Finished")
    assert "StepProgress" not in events
    assert found[-1]["images"] == list(done.images)
    numbers = [line["number"] for line in found]
    assert numbers == sorted(numbers)


@pytest.mark.stretto(plugins=["jsonlog"], tables={"jsonlog": {"path": "logs/all.jsonl", "progress": True}})
def test_the_settings_say_where_and_how_much(host):
    host.run_here(host.plan(REQUEST))
    assert "StepProgress" in {line["event"] for line in lines(host, "logs/all.jsonl")}


def test_a_second_host_writes_on(open_host):
    first = open_host(plugins=["jsonlog"])
    first.run_here(first.plan(REQUEST))
    before = lines(first)
    first.close()
    assert lines(first)[: len(before)] == before
