"""Makes control images of black and white, without any weights."""

from dataclasses import dataclass

from stretto.host import PreprocessorSpec, hookimpl


@dataclass(frozen=True)
class Settings:
    level: int = 128


@dataclass(frozen=True)
class Threshold:
    level: int

    def processed(self, image):
        return image.convert("L").point(lambda value: 255 if value >= self.level else 0).convert("RGB")


@hookimpl
def register_preprocessors(host):
    level = host.plugin_settings("threshold", Settings).level
    return [PreprocessorSpec(name="threshold", open=lambda files, device: Threshold(level))]
