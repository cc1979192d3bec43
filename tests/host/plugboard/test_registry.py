from typing import Any

import pytest
from stretto.host import SchedulerSpec
from stretto.host.errors import NotFoundError, PluginClashError, PluginError
from stretto.host.plugboard.registry import KINDS, Registry


def build(config: Any) -> Any:
    raise NotImplementedError


def spec(name: str, *aliases: str) -> SchedulerSpec:
    return SchedulerSpec(name=name, aliases=aliases, build=build)


@pytest.fixture
def registry() -> Registry[SchedulerSpec]:
    registry: Registry[SchedulerSpec] = Registry(KINDS["schedulers"])
    registry.add(spec("eds", "euler"), "schedulers")
    registry.add(spec("ddim"), "mine")
    return registry


def test_finds_by_name_and_alias(registry: Registry[SchedulerSpec]) -> None:
    assert registry.get("eds") is registry.get("euler")
    assert registry.owner("euler") == "schedulers"
    assert "euler" in registry
    assert "x" not in registry


def test_lists_names_without_aliases_in_order(registry: Registry[SchedulerSpec]) -> None:
    assert registry.names() == ("eds", "ddim")
    assert dict(registry.items()) == dict(registry.specs())
    assert len(registry) == 2


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("eulr", "there is no scheduler 'eulr'; did you mean 'euler'?"),
        ("dimm", "there is no scheduler 'dimm'; did you mean 'ddim'?"),
        ("x", "there is no scheduler 'x'; known: ddim, eds"),
    ],
)
def test_an_unknown_word_is_told_the_nearest(
    registry: Registry[SchedulerSpec], word: str, message: str
) -> None:
    with pytest.raises(NotFoundError) as caught:
        registry.get(word)
    assert str(caught.value) == message


@pytest.mark.parametrize(("offered", "word"), [(spec("eds"), "eds"), (spec("x", "euler"), "euler")])
def test_a_taken_name_names_both_plugins(
    registry: Registry[SchedulerSpec], offered: SchedulerSpec, word: str
) -> None:
    with pytest.raises(PluginClashError) as caught:
        registry.add(offered, "mine")
    assert str(caught.value) == (
        f"the plugins 'schedulers' and 'mine' both offer the scheduler '{word}'; turn one of them off"
    )
    with pytest.raises(PluginClashError, match=f"^scheduler '{word}', schedulers, mine$"):
        registry.add(offered, "mine", lambda *told: ", ".join(told))
    assert registry.names() == ("eds", "ddim")


@pytest.mark.parametrize("offered", [spec("ddim"), spec("x", "x"), spec("y", "ddim")])
def test_one_plugin_offers_a_name_once(registry: Registry[SchedulerSpec], offered: SchedulerSpec) -> None:
    with pytest.raises(PluginError, match="twice; give one of them another name"):
        registry.add(offered, "mine")


def test_dropping_a_plugin_frees_its_names(registry: Registry[SchedulerSpec]) -> None:
    registry.drop("schedulers")
    assert registry.names() == ("ddim",)
    assert "euler" not in registry
    registry.add(spec("euler"), "other")
    assert registry.owner("euler") == "other"


def test_who_goes_through_offers_is_not_disturbed_by_one_that_goes() -> None:
    registry: Registry[Any] = Registry(KINDS["schedulers"])
    for owner in ("ann", "bob", "carol"):
        registry.add(SchedulerSpec(name=owner, build=build), owner)
    seen = []
    for name, offer in registry.items():
        assert offer.name == name
        seen.append(name)
        registry.drop("carol")
    assert seen == ["ann", "bob", "carol"]
    assert registry.names() == ("ann", "bob")
