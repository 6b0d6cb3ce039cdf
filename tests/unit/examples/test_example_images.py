"""Thumbnails of images drawn here: size, proportions, orientation, formats, and bytes that are not what they claim."""

import base64
import io
import json
import pickle
import struct
import zlib
from contextlib import suppress
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageDraw, ImageOps

from examples import images
from sluice import InvalidInput, Reject
from sluice.testing import run

RED, GREEN, BLUE, WHITE = (220, 20, 20), (20, 160, 20), (20, 20, 220), (250, 250, 250)
FORMATS: tuple[images.Format, ...] = ("png", "jpeg", "webp")


def drawn(width: int = 120, height: int = 80, mode: str = "RGB") -> Image.Image:
    """Four quarters: red, green, blue, white; so that every turn and mirroring shows."""
    image = Image.new("RGB", (width, height), RED)
    draw = ImageDraw.Draw(image)
    draw.rectangle((width // 2, 0, width, height // 2), GREEN)
    draw.rectangle((0, height // 2, width // 2, height), BLUE)
    draw.rectangle((width // 2, height // 2, width, height), WHITE)
    return image.convert(mode)


def encoded(image: Image.Image, encoding: str = "png", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, encoding, **options)
    return out.getvalue()


def quarters(image: Image.Image) -> list[tuple[int, ...]]:
    seen = image.convert("RGB")
    width, height = seen.size
    spots = [(x, y) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [nearest(seen.getpixel(spot)) for spot in spots]


def nearest(pixel: Any) -> tuple[int, ...]:
    return min((RED, GREEN, BLUE, WHITE), key=lambda known: sum(abs(a - b) for a, b in zip(known, pixel, strict=True)))


async def thumbnail(data: bytes, width: int = 50, height: int = 50, **more: Any) -> tuple[dict[str, Any], Image.Image]:
    request = {"image": base64.b64encode(data).decode(), "width": width, "height": height, **more}
    outcome = await run("image.thumbnail", request, handlers=images.handlers)
    output = outcome.output
    small = Image.open(io.BytesIO(base64.b64decode(output["image"], validate=True)))
    assert isinstance(output, dict)
    return output, small


@pytest.mark.parametrize("encoding", FORMATS)
async def test_an_image_fits_its_box_in_its_own_format(encoding: str) -> None:
    output, small = await thumbnail(encoded(drawn(), encoding))

    assert (output["width"], output["height"], output["format"]) == (50, 33, encoding)
    assert (small.size, small.format) == ((50, 33), encoding.upper())
    assert output["bytes"] == len(base64.b64decode(output["image"]))
    assert quarters(small) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("wanted", FORMATS)
@pytest.mark.parametrize("encoding", [*FORMATS, "gif"])
async def test_any_format_becomes_any_other(encoding: str, wanted: str) -> None:
    output, small = await thumbnail(encoded(drawn(), encoding), format=wanted)

    assert (output["format"], small.format) == (wanted, wanted.upper())
    assert quarters(small) == [RED, GREEN, BLUE, WHITE]


async def test_the_first_frame_of_a_gif_becomes_a_png() -> None:
    film = encoded(drawn(), "gif", save_all=True, append_images=[drawn().rotate(180)])
    output, small = await thumbnail(film)

    assert (output["format"], quarters(small)) == ("png", [RED, GREEN, BLUE, WHITE])


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 100), st.integers(1, 100))
def test_proportions_are_kept_and_nothing_is_enlarged(width: int, height: int, box_width: int, box_height: int) -> None:
    picture = images.Picture(image=encoded(Image.new("L", (width, height))), width=box_width, height=box_height)
    found = images.thumbnail(picture)
    scale = min(1.0, box_width / width, box_height / height)

    assert found.width <= box_width
    assert found.height <= box_height
    assert found.width == pytest.approx(max(1.0, width * scale), abs=1.0)
    assert found.height == pytest.approx(max(1.0, height * scale), abs=1.0)


@pytest.mark.parametrize("encoding", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
async def test_orientation_is_honoured_and_then_gone(orientation: int, encoding: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = encoded(drawn(), encoding, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    output, small = await thumbnail(data, width=40, height=50)

    assert quarters(small) == quarters(upright)
    assert (output["width"], output["height"]) == ((33, 50) if orientation >= 5 else (40, 27))
    assert small.getexif().get(ExifTags.Base.Orientation, 1) == 1


@pytest.mark.parametrize("encoding", FORMATS)
async def test_where_it_was_taken_is_not_passed_on(encoding: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "at home"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
    data = encoded(drawn(), encoding, exif=exif)
    output, small = await thumbnail(data)

    assert b"at home" in data
    assert b"at home" not in base64.b64decode(output["image"])
    assert not dict(small.getexif())


@pytest.mark.parametrize("encoding", FORMATS)
async def test_the_colour_profile_stays(encoding: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    _, small = await thumbnail(encoded(drawn(), encoding, icc_profile=profile))
    assert small.info["icc_profile"] == profile


async def test_a_profile_of_colours_that_are_converted_away_goes_with_them() -> None:
    data = encoded(drawn(mode="CMYK"), "jpeg", icc_profile=b"\0" * 128)
    _, small = await thumbnail(data)
    assert "icc_profile" not in small.info


@pytest.mark.parametrize("wanted", FORMATS)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
async def test_every_kind_of_png_is_read(mode: str, wanted: str) -> None:
    image = drawn(mode=mode) if mode != "I;16" else Image.new(mode, (120, 80), 40_000)
    output, _ = await thumbnail(encoded(image), format=wanted)
    assert (output["width"], output["height"]) == (50, 33)


async def test_sixteen_bits_a_pixel_keep_their_brightness() -> None:
    _, small = await thumbnail(encoded(Image.new("I;16", (100, 100), 40_000)))
    assert small.getpixel((25, 25)) == 40_000 // 256


async def test_jpegs_of_printers_come_out_in_screen_colours() -> None:
    _, small = await thumbnail(encoded(drawn(mode="CMYK"), "jpeg"))
    assert (small.mode, quarters(small)) == ("RGB", [RED, GREEN, BLUE, WHITE])


async def test_what_is_transparent_stays_so_or_becomes_paper() -> None:
    clear = encoded(Image.new("RGBA", (100, 100), (255, 0, 0, 0)))

    _, png = await thumbnail(clear)
    _, jpeg = await thumbnail(clear, format="jpeg")
    assert png.convert("RGBA").getpixel((25, 25))[3] == 0  # type: ignore[index]
    assert nearest(jpeg.getpixel((25, 25))) == WHITE


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is this large."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" * 1_000)),
        (b"IEND", b""),
    ]
    framed = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@pytest.mark.parametrize("side", [6_500, 9_800, 20_000, 2**31 - 1])
async def test_bombs_are_rejected_before_they_are_decoded(side: int) -> None:
    with pytest.raises(Reject, match="more than 40,000,000 pixels"):
        await thumbnail(claiming(side, side))


@pytest.mark.parametrize(
    "data",
    [b"", b"not an image", b"\x89PNG\r\n\x1a\n", claiming(100, 100), encoded(drawn())[:-40], encoded(drawn(), "bmp")],
    ids=["nothing", "text", "a signature", "too little data", "cut off", "a format that is not read"],
)
async def test_what_is_no_image_is_rejected(data: bytes) -> None:
    with pytest.raises(Reject, match="not an image that can be read"):
        await thumbnail(data)


SEEDS = [encoded(drawn(40, 30), encoding) for encoding in (*FORMATS, "gif")] + [encoded(drawn(40, 30, "P"), "png")]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning", "ignore:Invalid APNG:UserWarning")
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0, 1) | st.just(1.0),
)
@settings(max_examples=300)
def test_damaged_images_are_rejected_or_read(seed: bytes, damage: list[tuple[float, int]], kept: float) -> None:
    data = bytearray(seed)
    for place, byte in damage:
        data[int(place * len(data))] = byte
    with suppress(Reject):
        images.thumbnail(images.Picture(image=bytes(data[: int(kept * len(data))]), width=20, height=20))


GATE = jsonschema_rs.validator_for(images.handlers["image.thumbnail"].input_schema())


def parsed(text: str) -> bytes | None:
    request = json.dumps({"image": text, "width": 1, "height": 1}).encode()
    try:
        picture = images.handlers["image.thumbnail"].parse_input(request)
    except InvalidInput:
        return None
    assert isinstance(picture, images.Picture)
    return picture.image


@given(st.binary())
def test_base64_comes_out_as_it_went_in(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert parsed(text) == data
    assert GATE.is_valid({"image": text, "width": 1, "height": 1})


@given(st.text("AQgw+/=-_ \n", max_size=9) | st.text(max_size=5))
def test_the_gate_and_the_worker_agree_on_what_is_base64(text: str) -> None:
    assert (parsed(text) is not None) == GATE.is_valid({"image": text, "width": 1, "height": 1})


@pytest.mark.parametrize("text", ["QUI", "QUI=\n", "QU I=", "QUI==", "=QUI", "QU-_", "é", "QUI=QUI=", "AAAA="])
def test_base64_is_strict(text: str) -> None:
    assert parsed(text) is None


@pytest.mark.parametrize(
    "more", [{"width": 0}, {"height": 2_049}, {"width": None}, {"format": "bmp"}, {"quality": 1}, {"image": 7}]
)
async def test_inputs_that_do_not_fit(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"/{next(iter(more))}"):
        await run("image.thumbnail", {"image": "", "width": 1, "height": 1} | more, handlers=images.handlers)


def test_the_work_can_be_sent_to_another_process() -> None:
    definition = images.handlers["image.thumbnail"]
    assert (definition.queue, definition.run_in) == ("images", "process")
    assert pickle.loads(pickle.dumps(definition.function)) is images.thumbnail
