"""Decode one image file to a uint8 square, and say what is wrong with a broken one."""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import warnings
from pathlib import Path

import numpy as np
import pi_heif
import simplejpeg
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch.nn import functional as F

from pretraining_gain.errors import InputError

#: Formats by content, whatever the name says: ImageNet has a PNG among its .JPEG. Pillow can read more, some through
#: other programs (Ghostscript), which a file that claims to be a photograph should not start.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "HEIF")
#: Accepted sizes, read from the header. Smaller images are placeholders; larger ones take gigabytes to decode.
SMALLEST_SIDE_PX, LARGEST_PX = 4, 100_000_000
#: What Pillow raises for a file that is cut off, empty, far too large or no image. The second line is for damaged camera
#: data, found by changing bytes of good files at random.
BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError,
          struct.error, TypeError, ArithmeticError, LookupError, EOFError)  # fmt: skip
ACCEPTED = f"{', '.join(FORMATS)} of {SMALLEST_SIDE_PX} pixels a side to {LARGEST_PX // 10**6} megapixels"
pi_heif.register_heif_opener()  # photographs of telephones
#: Exif's orientations of images that are not upright, and what turns them. 1 and any other value: as stored.
_TURNS = dict(enumerate(
    (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSPOSE,
     Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90), start=2))  # fmt: skip
# Pillow warns from 89 megapixels on; the limit above stops shortly after.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")  # camera data that do not matter


class BrokenImage(Exception):
    """A file that is no usable image, today or tomorrow. The message is one line: which file, why, what to do."""


def read_image(path: Path, size_px: int) -> tuple[np.ndarray, bytes]:
    """Read and decode one file: (S, S, 3) uint8 (see `decode`), and the content of the file.

    Raises `BrokenImage` for what is no image, and `InputError` for a file that cannot be read at the moment (no
    permission, a failing disk or mount): it may be a good image, so nobody may leave it out.
    """
    try:
        content = read_file(path)
        return decode(content, size_px), content
    except OSError as error:
        if error.errno:
            raise InputError(f"image {path} cannot be read: {error.strerror}; accepted: a file that can be read") from None
        raise BrokenImage(_why_broken(path, error)) from None
    except BROKEN as error:
        raise BrokenImage(_why_broken(path, error)) from None


def read_file(path: Path) -> bytes:
    """Read a file. Raises `OSError`: without `errno` for a broken link and anything but a file (reading a pipe would wait)."""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return path.read_bytes()
        raise OSError("is no file")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            link = path.is_symlink()
            raise OSError(f"a link that leads nowhere, to {os.readlink(path)}" if link else "is missing") from None
        raise


def decode(content: bytes, size_px: int) -> np.ndarray:
    """Decode one image to (S, S, 3) uint8: upright, RGB, central square resized to S, antialiased. Raises one of `BROKEN`.

    The orientation is all that is read of camera data, so a mistake elsewhere in them does not matter.
    libjpeg-turbo decodes a complete, upright JPEG in colour or grey, at the smallest of its scales with S pixels or more;
    torch resizes the square. Pillow decodes everything else and decides what is broken.
    """
    pixels = _decode_jpeg(content, size_px)
    if pixels is not None:
        height, width = pixels.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = pixels[top : top + side, left : left + side]
        if side == size_px:
            return square
        whole = torch.from_numpy(square).permute(2, 0, 1)[None]
        return F.interpolate(whole, (size_px, size_px), mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        width, height = image.size
        if _is_odd_size(width, height):
            raise ValueError(f"{width}x{height} pixels; accepted: {ACCEPTED}")
        if image.mode.startswith(("I", "F")):  # 16 bits per channel would turn white
            raise ValueError(f"pixels of mode {image.mode}; accepted: 8 bits a channel")
        turn = _turn(image)
        upright = (image.transpose(turn) if turn is not None else image).convert("RGB")
        return np.asarray(ImageOps.fit(upright, (size_px, size_px), method=Image.Resampling.BICUBIC))


def _decode_jpeg(content: bytes, size_px: int) -> np.ndarray | None:
    """Decode a usual JPEG to (H, W, 3) uint8, each side S or more where the image has as many; None for any other file."""
    if not content.startswith(b"\xff\xd8"):
        return None
    try:
        if b"Exif\0\0" in content or b"tiff:Orientation" in content:  # wherever they are, Pillow decides what counts
            with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
                if _turn(image) is not None:
                    return None
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
        if colours not in ("YCbCr", "Gray") or _is_odd_size(width, height):
            return None
        return simplejpeg.decode_jpeg(content, min_height=size_px, min_width=size_px)
    except BROKEN:
        return None


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return what sets an image upright, as Exif or XMP states; None for upright ones and where neither can be read."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except BROKEN:
        return None


def _is_odd_size(width: int, height: int) -> bool:
    return min(width, height) < SMALLEST_SIDE_PX or width * height > LARGEST_PX


def _why_broken(path: Path, error: Exception) -> str:
    """Say in one line which file cannot be decoded, why, and what to do. The file can be read, or is missing."""
    reason = " ".join(str(error).split())
    if path.is_file() and path.stat().st_size == 0:
        reason = "zero bytes"
    elif isinstance(error, UnidentifiedImageError):
        reason = f"no image; accepted: {ACCEPTED}"
    return f"image {path} cannot be decoded ({reason}); repair or delete it, or set broken_images: skip in the study file"
