"""Colours of known pictures, by HTTP and on the command line."""

import pytest
from click.testing import CliRunner
from PIL import Image
from stretto.host.testing import assert_conforms
from stretto_palette import Colour, palette

pytestmark = pytest.mark.stretto(plugins=["palette"])


@pytest.fixture
def flag():
    """Give a picture of which a quarter is blue and the rest red."""
    image = Image.new("RGB", (40, 40), (255, 0, 0))
    image.paste((0, 0, 255), (0, 0, 20, 20))
    return image


def test_they_conform(host):
    assert_conforms(host.offer("routes", "palette"))
    assert_conforms(host.offer("commands", "palette"))


def test_the_commonest_colour_is_first(flag):
    assert palette(flag, 5, 40) == [Colour("#ff0000", 0.75), Colour("#0000ff", 0.25)]


def test_what_is_transparent_is_not_seen(flag):
    cut = flag.convert("RGBA")
    cut.paste((255, 0, 0, 0), (0, 20, 40, 40))
    assert palette(cut, 5, 40) == [Colour("#ff0000", 0.5), Colour("#0000ff", 0.5)]
    assert palette(Image.new("RGBA", (8, 8)), 5, 40) == []


def test_a_drawn_picture_has_a_palette(client):
    drawn = client.invoke(prompt="a red circle", width=64, height=64, num_inference_steps=2, seed=1)
    found = client.get(f"/api/palette/{drawn['uuid']}?colours=3").data
    assert 1 <= len(found) <= 3
    assert sum(colour["share"] for colour in found) == pytest.approx(1, abs=0.01)


def test_what_is_wrong_is_answered_as_the_hosts_own_routes_do(client):
    unknown = client.get(f"/api/palette/{'0' * 32}")
    assert unknown.status == 404
    assert "there is no picture 0" in unknown.errors[0]["detail"]
    assert client.get("/api/palette/..%2Fsecret").status == 404
    refused = client.get(f"/api/palette/{'0' * 32}?colours=0")
    assert refused.status == 400
    assert "colours" in refused.body.decode()


def test_the_command_prints_them(host, flag, tmp_path):
    flag.save(tmp_path / "flag.png")
    done = CliRunner().invoke(host.offer("commands", "palette").build(), [str(tmp_path / "flag.png")])
    assert done.exit_code == 0, done.output
    assert [line.split() for line in done.output.splitlines()] == [["#ff0000", "75.0%"], ["#0000ff", "25.0%"]]


def test_a_file_that_is_no_picture_is_named(host, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    done = CliRunner().invoke(host.offer("commands", "palette").build(), [str(tmp_path / "notes.txt")])
    assert done.exit_code == 1
    assert "notes.txt is no picture" in done.output
