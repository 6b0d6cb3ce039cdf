"""Thumbnails: an image goes in as base64, a smaller one comes out.

Decoding keeps a processor busy, and decoders have crashed on bytes made for it, so the work runs in a child process: a
crash takes no neighbour with it. The image is turned the way its camera was held, and leaves without its metadata,
which may say where it was taken. Only its colour profile stays.
"""

import base64
import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from PIL import ExifTags, Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from sluice import Handlers, Reject

handlers = Handlers(queue="images")

MAX_PIXELS = 40_000_000
"""160 MB once decoded. A few hundred bytes can claim to be much more."""

Format = Literal["png", "jpeg", "webp"]

_READABLE = ("PNG", "JPEG", "WEBP", "GIF")
_SAVE_OPTIONS: dict[Format, dict[str, object]] = {
    "png": {"optimize": True},
    "jpeg": {"quality": 85, "optimize": True, "progressive": True},
    "webp": {"quality": 80},
}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation (Exif 2.32, section 4.6.4 A)."""
_SIDEWAYS = frozenset({5, 6, 7, 8})

_UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, struct.error, zlib.error)
"""What Pillow's decoders raise for bytes that are not the image they claim to be."""


_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)


def _decode_base64(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not _BASE64.fullmatch(value):  # b64decode(validate=True) takes more padding than there is to be
        raise ValueError("not base64 (RFC 4648, section 4: standard alphabet, padded, no line breaks)")
    return base64.b64decode(value)


Base64 = Annotated[
    bytes,
    BeforeValidator(_decode_base64),
    PlainSerializer(lambda data: base64.b64encode(data).decode("ascii"), return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "contentEncoding": "base64",
            "pattern": f"^{_BASE64.pattern}$",
        }
    ),
]
"""Bytes, as strict base64 in JSON. Pydantic's own `Base64Bytes` skips over characters that are not base64."""


class Picture(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    image: Base64
    """PNG, JPEG, WebP, or the first frame of a GIF."""
    width: int = Field(ge=1, le=2_048)
    """The box the thumbnail must fit into, in pixels."""
    height: int = Field(ge=1, le=2_048)
    format: Format | None = None
    """Null keeps the format of the image, and makes a GIF a PNG."""


class Thumbnail(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    image: Base64
    width: int
    height: int
    format: Format
    bytes: int
    """Size of the encoded image, before base64."""


@handlers.on("image.thumbnail", timeout=30, max_attempts=3, cache_for=86_400, run_in="process")
def thumbnail(input: Picture) -> Thumbnail:
    """Fits an image into a box, keeping its proportions. An image that fits already is not enlarged."""
    with _opened(input.image) as image:
        encoding = input.format or _own_format(image)
        small = _upright(image, input.width, input.height)
    data = _encoded(small, encoding)
    return Thumbnail(image=data, width=small.width, height=small.height, format=encoding, bytes=len(data))


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """The image; Reject for what cannot be decoded, here or while it is used."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound is lower
            image = Image.open(io.BytesIO(data), formats=_READABLE)
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise Reject(f"the image has more than {MAX_PIXELS:,} pixels")
            yield image
    except Image.DecompressionBombError:
        raise Reject(f"the image has more than {MAX_PIXELS:,} pixels") from None
    except _UNDECODABLE:
        raise Reject(f"the bytes are not an image that can be read ({', '.join(_READABLE)})") from None


def _own_format(image: Image.Image) -> Format:
    match image.format:
        case "JPEG":
            return "jpeg"
        case "WEBP":
            return "webp"
        case _:
            return "png"


def _upright(image: Image.Image, width: int, height: int) -> Image.Image:
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    box = (height, width) if orientation in _SIDEWAYS else (width, height)
    if image.format == "JPEG":
        image.draft(None, (2 * box[0], 2 * box[1]))  # decodes at a half, a quarter or an eighth where that is enough
    small = _smooth(image)
    small.thumbnail(box, Image.Resampling.LANCZOS)
    turn = _UPRIGHT.get(orientation)
    return small if turn is None else small.transpose(turn)


def _smooth(image: Image.Image) -> Image.Image:
    """The image in a mode that can be resized smoothly: grey or RGB, with alpha where something is transparent."""
    if image.mode not in {"RGB", "RGBA", "P"}:
        image.info.pop("icc_profile", None)  # it describes colours that are converted away
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda level: level * (1 / 256)).convert("L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in {"1", "L"} else "RGB")


def _encoded(image: Image.Image, encoding: Format) -> bytes:
    if encoding == "jpeg" and image.mode == "RGBA":
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image).convert("RGB")
    out = io.BytesIO()
    image.save(out, encoding, icc_profile=image.info.get("icc_profile"), **_SAVE_OPTIONS[encoding])
    return out.getvalue()
