"""Photos of every kind and state: converted rightly, or refused in one line."""

import os
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from torchvision.transforms import v2

from cifar_tricks.base.errors import UserError
from cifar_tricks.data.photo import MAX_PIXELS, check_photo, crop_square, read_photo

# How a picture of each EXIF orientation lies in its file. Source: CIPA DC-008 (Exif 2.32), 4.6.4.
TURNED_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
RED, BLUE = (200, 30, 30), (20, 40, 220)


def two_halves(width: int = 60, height: int = 40) -> Image.Image:
    """The left half red, the right half blue."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height))
    return picture


def assert_near(picture: Image.Image, x: int, y: int, colour: tuple[int, ...], by: int = 0) -> None:
    found = picture.getpixel((x, y))
    assert isinstance(found, tuple)
    assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= by, (found, colour)


def refusal(path: Path) -> str:
    """The message that the file is refused with."""
    with pytest.raises(UserError) as caught:
        check_photo(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def png(
    width: int, height: int, *, depth: int, colour: int, rows: bytes = b"", extra: bytes = b""
) -> bytes:
    """A PNG file from its raw rows, each with its filter byte."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = (
        chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif", "bmp", "ppm", "jp2"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    two_halves().save(path)
    picture = read_photo(path, min_side=1)
    assert picture.mode == "RGB"
    width, height = picture.size
    assert_near(picture, 0, height // 2, RED, by=12)
    assert_near(picture, width - 1, height // 2, BLUE, by=12)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_modes(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("photo.tif" if mode in ("CMYK", "YCbCr") else "photo.png")
    gray = Image.linear_gradient("L")
    (gray.quantize(256) if mode == "P" else gray.convert("RGB").convert(mode)).save(path)
    with Image.open(path) as stored:
        assert stored.mode == mode
    found = np.asarray(read_photo(path)).astype(int)
    if mode == "1":
        assert abs(found.mean() - 127.5) < 2
    else:
        assert np.abs(found - np.asarray(gray)[..., None]).max() <= 3


def test_cmyk_jpeg_of_adobe_is_inverted(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    two_halves(64, 64).convert("CMYK").save(path, quality=95)
    assert b"Adobe" in path.read_bytes()
    picture = read_photo(path)
    assert_near(picture, 5, 30, RED, by=8)
    assert_near(picture, 58, 30, BLUE, by=8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = Image.new("RGB", (48, 32), "white")
    upright.paste(RED, (0, 0, 16, 16))
    # What the camera stores: the upright picture turned back.
    stored = upright.transpose(TURNED_BACK[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"photo.{suffix}"
    stored.save(path, exif=exif, **({"quality": 95} if suffix in ("jpg", "webp") else {}))
    picture = read_photo(path)
    assert picture.size == (48, 32)
    assert_near(picture, 4, 4, RED, by=25)
    assert_near(picture, 40, 28, (255, 255, 255), by=25)


def test_odd_orientation_is_ignored(tmp_path: Path) -> None:
    for value in (0, 9, 65535):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = value
        two_halves().save(tmp_path / "photo.png", exif=exif)
        assert read_photo(tmp_path / "photo.png").size == (60, 40)


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    values = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    expected = [0, 1, 128, 255]
    gray = tmp_path / "gray.png"
    Image.fromarray(values).save(gray)
    rows = b"\0" + b"".join(struct.pack(">HHH", v, v, v) for v in values[0].tolist())
    colour = tmp_path / "colour.png"
    colour.write_bytes(png(4, 1, depth=16, colour=2, rows=rows))
    portable = tmp_path / "gray.pgm"
    portable.write_bytes(b"P5 4 1 65535\n" + values.astype(">u2").tobytes())
    tagged = tmp_path / "gray.tif"
    Image.fromarray(values).save(tagged)
    for path in (gray, colour, portable, tagged):
        found = np.asarray(read_photo(path))
        assert found[0, :, 0].tolist() == found[0, :, 2].tolist() == expected, path


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    picture = Image.new("RGBA", (2, 1), (*RED, 255))
    picture.putpixel((1, 0), (0, 0, 0, 128))
    picture.save(path)
    assert_near(read_photo(path), 0, 0, RED)
    assert_near(read_photo(path), 1, 0, (127, 127, 127))
    for mode, transparent in (("P", 0), ("L", 0), ("RGB", (0, 0, 0))):
        Image.new(mode, (3, 3)).save(path, transparency=transparent)
        assert_near(read_photo(path), 1, 1, (255, 255, 255))


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in (RED, BLUE)]
    for suffix in ("gif", "png", "webp", "tif"):
        path = tmp_path / f"photo.{suffix}"
        options = {"lossless": True} if suffix == "webp" else {}
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
        assert_near(read_photo(path), 4, 4, RED, by=3)


def test_large_jpeg_is_decoded_smaller(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    two_halves(2400, 1600).save(path)
    assert read_photo(path, min_side=224).size == (600, 400)
    assert min(read_photo(path, min_side=1600).size) == 1600


@pytest.mark.fault("hostile")
def test_refuses_what_is_no_picture(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.jpg")
    assert "is a folder" in refusal(tmp_path)
    empty = tmp_path / "empty.jpg"
    empty.touch()
    assert "is empty" in refusal(empty)
    text = tmp_path / "text.jpg"
    text.write_text("this is no picture")
    assert "is no picture" in refusal(text) and "valid: JPEG" in refusal(text)
    drawing = tmp_path / "drawing.eps"
    drawing.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert "is no picture" in refusal(drawing)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "no ordinary file" in refusal(pipe)
    assert "cannot be read" in refusal(tmp_path / ("x" * 300))
    number = tmp_path / "number.tif"
    Image.new("F", (4, 4)).save(number)
    assert "32 bits per channel" in refusal(number)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_refuses_what_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    two_halves().save(path)
    path.chmod(0)
    assert "cannot be read: permission denied" in refusal(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "ppm", "gif"])
@pytest.mark.fault("hostile")
def test_refuses_half_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "is damaged" in refusal(path) or "is no picture" in refusal(path)


@pytest.mark.parametrize("side", [30_000, 12_000, 8_400])
@pytest.mark.fault("hostile")
def test_refuses_a_bomb_by_its_header(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side, depth=1, colour=0, rows=bytes(10_000_000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = refusal(path)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert side * side > MAX_PIXELS and "70 megapixels" in message
    assert grown < 30_000_000


def test_refuses_a_picture_without_pixels(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png(0, 5, depth=8, colour=0))
    refusal(path)


@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]),
    orientation=st.integers(1, 8),
    size=st.sampled_from([1, 7, 224]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_picture_becomes_a_square(
    tmp_path: Path, width: int, height: int, mode: str, orientation: int, size: int
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "photo.png"
    Image.new(mode, (width, height)).save(path, exif=exif)
    pixels = crop_square(read_photo(path), size)
    assert pixels.shape == (size, size, 3) and pixels.dtype == np.uint8


@given(data=st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.fault("hostile", tried=150)
def test_damage_is_told_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever happens to a file's bytes, it is read or refused."""
    suffix = data.draw(st.sampled_from(["jpg", "png", "webp", "tif", "gif", "bmp", "ppm"]))
    path = tmp_path / f"photo.{suffix}"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    two_halves(24, 16).save(path, **({} if suffix in ("bmp", "ppm", "gif") else {"exif": exif}))
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        assert read_photo(path).mode == "RGB"
    except UserError as error:
        assert "\n" not in str(error)


def test_crop_keeps_the_middle() -> None:
    wide = Image.new("RGB", (300, 100), "white")
    wide.paste(RED, (100, 0, 200, 100))
    for picture in (wide, wide.rotate(90, expand=True)):
        assert (crop_square(picture, 50)[1:-1, 1:-1] == RED).all()
    # However long and thin.
    assert crop_square(Image.new("RGB", (1, 60_000), RED), 224).shape == (224, 224, 3)


def test_crop_agrees_with_torchvision() -> None:
    """Which resizes the shorter side first and then crops the centre."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 450, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    usual = v2.Compose([v2.Resize(224), v2.CenterCrop(224)])(picture)
    assert np.abs(crop_square(picture).astype(int) - np.asarray(usual)).max() <= 1
