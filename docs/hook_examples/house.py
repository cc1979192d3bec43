"""Offers a model whose folder lies beside this file, and what it is drawn with unless a request says otherwise."""

from pathlib import Path

from stretto.host import Family, ModelOffer, hookimpl


@hookimpl
def register_models():
    folder = Path(__file__).with_name("model")
    defaults = {"num_inference_steps": 12, "scheduler": "eads"}
    return [ModelOffer(name="house", path=str(folder), family=Family.SD1, size_px=128, defaults=defaults)]
