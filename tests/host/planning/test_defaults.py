from dataclasses import fields

import pytest
from stretto.host import Family, InvocationRequest, ModelOffer
from stretto.host.contracts.images import ImageRef
from stretto.host.errors import ConfigurationError
from stretto.host.planning.defaults import with_offer, with_stored

NAMES = {field.name for field in fields(InvocationRequest)}
MASK = ImageRef(path="/m.png", width=8, height=8, mode="L", sha256="m")


def test_a_stored_value_stands_where_none_was_sent() -> None:
    request = InvocationRequest(width=64, defaults={"width": 512, "height": 512, "strength": 0.5})
    filled = with_stored(request)
    assert (filled.width, filled.height, filled.strength) == (64, 512, 0.5)


def test_an_unknown_stored_parameter_is_told_the_nearest() -> None:
    with pytest.raises(ConfigurationError) as caught:
        with_stored(InvocationRequest(defaults={"guidance": 3}))
    assert str(caught.value) == (
        "the stored model's parameters name 'guidance', which is no parameter; did you mean 'guidance_scale'?"
    )


def test_a_models_own_defaults_come_last() -> None:
    offer = ModelOffer(
        name="m", path="/m", family=Family.SD1, size_px=64, defaults={"scheduler": "eds", "width": 64}
    )
    filled = with_offer(InvocationRequest(width=8), offer)
    assert (filled.width, filled.scheduler) == (8, "eds")
    assert with_offer(InvocationRequest(), None) == InvocationRequest()
    with pytest.raises(ConfigurationError, match="the defaults of the model 'm' name 'widht'"):
        with_offer(
            InvocationRequest(),
            ModelOffer(name="m", path="", family=Family.SD1, size_px=8, defaults={"widht": 1}),
        )
