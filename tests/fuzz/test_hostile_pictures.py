"""Pictures of any bytes."""
import io

from hostile import mutated, survives
from hypothesis import given
from PIL import Image

from aminet.faces.pictures import open_header, to_rgb


def pictures() -> list[bytes]:
    """A small picture in each format."""
    image, files = Image.linear_gradient("L").resize((20, 24)).convert("RGB"), []
    for name in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF"):
        image.save(buffer := io.BytesIO(), name)
        files.append(buffer.getvalue())
    return files


@given(mutated(pictures()))
def test_pictures(data):
    survives(lambda: to_rgb(open_header(data)))
