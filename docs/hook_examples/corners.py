"""Takes what is coloured like a picture's top left corner for its background."""

from stretto.host import BackgroundRemoverSpec, hookimpl


class Corners:
    def remove(self, image):
        from PIL import Image, ImageChops

        cut = image.convert("RGBA")
        picture = image.convert("RGB")
        plain = Image.new("RGB", picture.size, picture.getpixel((0, 0)))
        far = ImageChops.difference(picture, plain).convert("L").point(lambda value: 255 if value > 24 else 0)
        cut.putalpha(ImageChops.darker(far, cut.getchannel("A")))  # what was clear stays clear
        return cut


@hookimpl
def register_background_removers():
    return [BackgroundRemoverSpec(name="corners", build=lambda device: Corners())]
