"""An upscaler that shows a picture as an old screen would."""

from stretto.host import UpscalerSpec, hookimpl


class Scanlines:
    def upscale(self, image, amount):
        from PIL import Image

        large = image.resize((image.width * amount, image.height * amount), Image.Resampling.NEAREST)
        lines = Image.new("L", large.size, 0)
        for y in range(0, large.height, amount):
            lines.paste(128, (0, y, large.width, y + 1))
        return Image.composite(Image.new(large.mode, large.size), large, lines)


@hookimpl
def register_upscalers():
    return [UpscalerSpec(name="scanlines", title="Dark lines", build=lambda device: Scanlines())]
