"""Packaged JPEG decoders, each as a function from a file's bytes to an upright RGB square; one thread.

A function `<engine>(size_px)` imports its engine and returns that function; what it raises says why the engine is not
there. All cut the central square and resize it; those that can let the decoder itself shrink the image (scaled DCT) do.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from pretraining_gain.compute.images.decoding import decode

Decode = Callable[[bytes], np.ndarray]


def pillow(size_px: int) -> Decode:
    def engine(content: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(ImageOps.fit(image.convert("RGB"), (size_px, size_px), Image.Resampling.BICUBIC))

    return engine


def pillow_draft(size_px: int) -> Decode:
    def engine(content: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (size_px, size_px))
            return np.asarray(ImageOps.fit(image.convert("RGB"), (size_px, size_px), Image.Resampling.BICUBIC))

    return engine


def ours(size_px: int) -> Decode:
    return lambda content: decode(content, size_px)


def torchvision(size_px: int) -> Decode:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms import v2

    steps = v2.Compose([v2.Resize(size_px, antialias=True), v2.CenterCrop(size_px)])

    def engine(content: bytes) -> np.ndarray:
        return (
            steps(decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB))
            .numpy()
            .transpose(1, 2, 0)
        )

    return engine


def opencv(size_px: int) -> Decode:
    import cv2

    cv2.setNumThreads(1)

    def engine(content: bytes) -> np.ndarray:
        return _resized_by_opencv(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB), size_px)

    return engine


def simplejpeg_opencv(size_px: int) -> Decode:
    import cv2
    import simplejpeg

    cv2.setNumThreads(1)

    def engine(content: bytes) -> np.ndarray:
        image = simplejpeg.decode_jpeg(content, "RGB", min_height=size_px, min_width=size_px, min_factor=1)
        return _resized_by_opencv(image, size_px)

    return engine


def imagecodecs_opencv(size_px: int) -> Decode:
    import cv2
    import imagecodecs

    cv2.setNumThreads(1)
    return lambda content: _resized_by_opencv(imagecodecs.jpeg8_decode(content, outcolorspace="RGB"), size_px)


def vips(size_px: int) -> Decode:
    os.environ.setdefault("VIPS_CONCURRENCY", "1")
    import pyvips

    def engine(content: bytes) -> np.ndarray:
        image = pyvips.Image.thumbnail_buffer(content, size_px, height=size_px, crop="centre")
        return (image if image.bands == 3 else image.colourspace("srgb")).numpy()

    return engine


def spdl(size_px: int) -> Decode:
    import spdl.io as engine_io

    filters = engine_io.get_video_filter_desc(scale_width=size_px, scale_height=size_px, pix_fmt="rgb24")

    def engine(content: bytes) -> np.ndarray:
        frames = engine_io.decode_packets(engine_io.demux_image(content), filter_desc=filters)
        return engine_io.to_numpy(engine_io.convert_frames(frames))

    return engine


def torchcodec(size_px: int) -> Decode:
    from torchcodec.decoders import decode_image
    from torchvision.transforms import v2

    steps = v2.Compose([v2.Resize(size_px, antialias=True), v2.CenterCrop(size_px)])
    return lambda content: steps(decode_image(content)).numpy().transpose(1, 2, 0)


def dali(size_px: int) -> Decode:
    import nvidia.dali.fn as fn
    from nvidia.dali import pipeline_def

    @pipeline_def(batch_size=1, num_threads=1, device_id=None)
    def line():
        encoded = fn.external_source(name="content", dtype=None)
        return fn.resize(fn.decoders.image(encoded, device="cpu"), size=[size_px, size_px], mode="not_smaller")

    built = line()
    built.build()

    def engine(content: bytes) -> np.ndarray:
        image = np.asarray(built.run(content=[np.frombuffer(content, np.uint8)])[0][0])
        top, left = (image.shape[0] - size_px) // 2, (image.shape[1] - size_px) // 2
        return image[top : top + size_px, left : left + size_px]

    return engine


def _resized_by_opencv(image: np.ndarray, size_px: int) -> np.ndarray:
    import cv2

    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    return cv2.resize(square, (size_px, size_px), interpolation=cv2.INTER_AREA if side > size_px else cv2.INTER_CUBIC)


PILLOW, OURS = "Pillow", "ours"
ENGINES: dict[str, Callable[[int], Decode]] = {
    PILLOW: pillow,
    OURS: ours,
    "Pillow, shrinking while decoding": pillow_draft,
    "torchvision.io": torchvision,
    "OpenCV": opencv,
    "simplejpeg and OpenCV": simplejpeg_opencv,
    "imagecodecs and OpenCV": imagecodecs_opencv,
    "pyvips": vips,
    "SPDL": spdl,
    "torchcodec": torchcodec,
    "DALI": dali,
}
