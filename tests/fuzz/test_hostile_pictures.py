"""Pictures of any bytes, and whole pictures whose EXIF or ICC profile is any bytes."""
import io

import numpy as np
from hostile import mutated, survives
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from aminet.faces.pictures import to_rgb

IMAGE = Image.linear_gradient("L").resize((20, 24)).convert("RGB")
EXIF = bytes.fromhex("45786966000049492a000800000002001201030001000000060000006987040001000000260000000000000001000090"
                     "07000400000030323330 00000000")  # turned by 90 degrees, and a folder of tags
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image: Image.Image, kind: str, **options) -> bytes:
    image.save(buffer := io.BytesIO(), kind, **options)
    return buffer.getvalue()


def pictures() -> list[bytes]:
    """A small picture in each format, in each mode, and with what may come along."""
    kinds = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
    grey = Image.fromarray(np.arange(480, dtype=np.uint16).reshape(24, 20) * 130)
    modes = [IMAGE.convert(mode) for mode in ("L", "RGBA", "LA", "P", "1")]
    return [*(saved(IMAGE, kind) for kind in kinds), *(saved(image, "PNG") for image in (*modes, grey)),
            *(saved(IMAGE.convert(mode), "TIFF") for mode in ("CMYK", "YCbCr")), saved(IMAGE.convert("CMYK"), "JPEG"),
            *(saved(IMAGE, kind, exif=EXIF, icc_profile=SRGB) for kind in ("JPEG", "WEBP", "TIFF", "PNG"))]


@given(mutated(pictures()))
def test_pictures(data):
    survives(lambda: to_rgb(data))


@given(mutated([EXIF]), st.sampled_from(["PNG", "JPEG", "WEBP"]))
def test_exif_of_any_bytes_refuses_no_pixels(data, kind):
    image = to_rgb(saved(IMAGE, kind, exif=b"Exif\0\0" + data[6:]))
    assert sorted(image.size) == [20, 24]


@given(mutated([SRGB]), st.sampled_from(["RGB", "L", "CMYK"]))
def test_profiles_of_any_bytes_refuse_no_pixels(data, mode):
    image = to_rgb(saved(IMAGE.convert(mode), "JPEG", icc_profile=data))
    assert (image.mode, image.size) == ("RGB", (20, 24))
