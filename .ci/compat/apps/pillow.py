"""numbers and pictures: pillow."""

import io

from PIL import Image, ImageDraw


def use():
    picture = Image.new("RGB", (8, 8), "red")
    ImageDraw.Draw(picture).line((0, 0, 7, 7), fill="blue")
    file = io.BytesIO()
    picture.resize((4, 4)).save(file, "PNG")
    assert Image.open(file).size == (4, 4)
