"""Photos of any kind and state: read as upright RGB, or refused in one line.

Nothing here imports torch, so that a photo is checked before any work.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from cifar_tricks.base.errors import UserError
from cifar_tricks.base.files import is_temporary_copy, project_root

# Bounds the memory: so many pixels take 0.9 GB at most (PNG with alpha, turned), a JPEG 0.2 GB.
# The photos of a 64-megapixel camera fit.
MAX_PIXELS = 70_000_000
# Photos and scans. Left out is what other programs would have to open (EPS) and containers that
# hold a picture of another size than they say (ICO).
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "AVIF")
VALID = f"valid: {', '.join(FORMATS)} of at most {MAX_PIXELS // 1_000_000} megapixels"
# Pillow keeps 16-bit gray as it is, and colour with 16 bits as the upper eight of them.
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")


def with_home(path: Path | str) -> Path:
    """The path with ``~`` as home, or ``~user`` as that one's, unless it is a file's very name."""
    path = Path(path)
    # An unknown user's is left as it is, and a name that no file can have.
    with contextlib.suppress(RuntimeError, OSError, ValueError):
        return path if path.exists() else path.expanduser()
    return path


def check_photo(path: Path | str) -> None:
    """Reads the photo and drops it.

    Raises:
        UserError: see :func:`read_photo`.
    """
    read_photo(path)


def read_photo(path: Path | str, *, min_side: int = 224) -> Image.Image:
    """The picture in RGB, upright; of an animation the first frame, what is transparent on white.

    Gray with 16 bits is scaled to 8 like colour, CMYK is converted without its colour profile. The
    size is judged by the file's header, before anything is decoded.

    Args:
        path: a file.
        min_side: a JPEG may come smaller than it is, decoded at 1/2, 1/4 or 1/8, as long as no
            side gets shorter than this, in pixels.

    Raises:
        UserError: there is no such file, or it is unreadable, damaged, no picture, or too large.
    """
    path = Path(path)
    _check_file(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures (the limit here is lower) and of odd metadata.
            warnings.simplefilter("ignore")
            with _open(path) as picture:
                _check_size(path, picture.size)
                picture.draft("RGB", (min_side, min_side))
                # Some formats have their metadata behind the pixels.
                picture.load()
                orientation = picture.getexif().get(ExifTags.Base.Orientation)
                return _turn_upright(_to_rgb(picture), orientation)
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: the picture is too large; {VALID}") from error
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except MemoryError as error:
        raise UserError(f"{path}: not enough memory to decode it") from error
    # On damaged files Pillow's decoders raise nearly everything: OSError, SyntaxError, EOFError,
    # ValueError, IndexError, struct.error ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} is damaged: {reason}; {VALID}") from error


def crop_square(picture: Image.Image, size: int = 224) -> np.ndarray:
    """The largest centred square, resized with antialiased bilinear interpolation.

    The same as resizing the shorter side and cropping the centre, but for the rounding of the
    longer side; and no picture, however long and thin, is enlarged as a whole.

    Args:
        picture: in RGB.
        size: height and width of the result, in pixels.

    Returns:
        uint8 (size, size, 3).
    """
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return np.array(picture.resize((size, size), Image.Resampling.BILINEAR, box=box))


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; {VALID}")
        if not path.exists() and is_temporary_copy() and (project_root() / path).exists():
            raise UserError(
                f"{path} is not in the copy of the project that DVC made for this experiment, for "
                f"git does not track it: git add {path}, or give its absolute path"
            )
        if not path.exists():
            home = with_home(path)
            hint = "give the path of a picture" if home == path else f"~ is no folder: write {home}"
            raise UserError(f"{path} does not exist; {hint}")
        # A pipe would be waited for, a device read for ever.
        if not path.is_file():
            raise UserError(f"{path} is no ordinary file; {VALID}")
        if not os.access(path, os.R_OK):
            raise UserError(f"{path} cannot be read: permission denied")
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty; {VALID}")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _open(path: Path) -> Image.Image:
    Image.init()
    try:
        # Older versions of Pillow do not know every format.
        return Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is no picture that can be read; {VALID}") from error


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise UserError(f"{path} has no pixels ({width} x {height}); {VALID}")
    if width * height > MAX_PIXELS:
        raise UserError(f"{path}: {width} x {height} pixels are too many; {VALID}")


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Converts any mode; the orientation is as stored."""
    gray16 = picture.mode in SIXTEEN_BITS or (picture.mode == "I" and picture.format == "PPM")
    if gray16:
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        # Nothing says which values are black and white.
        raise ValueError("32 bits per channel; save it with 8 or 16")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    result = Image.new("RGB", layer.size, "white")
    result.paste(layer, mask=layer)
    return result


def _turn_upright(picture: Image.Image, orientation: object) -> Image.Image:
    """Applies EXIF's orientation, 1 to 8; anything else counts as 1."""
    if orientation not in range(2, 9):
        return picture
    # Nothing but the orientation: exif_transpose writes all tags anew, and fails on odd ones.
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture.info = {"exif": exif.tobytes()}
    return ImageOps.exif_transpose(picture)
