"""The images that the lessons train on.

- `digits()`: 1,797 images of 8×8 pixels, shipped with the lessons (source and licence in `data/README.md`).
- `mnist(folder)`: 28×28 pixels, from MNIST's own files, which you put into a folder of yours.
- `cifar10(folder)`: 32×32 pixels in three colours, from CIFAR-10's binary files, in the same way.
- `load("digits", "mnist" or "cifar10", folder)`: any of them; `noise()`: random numbers to be learned by heart.

>>> data = digits(rng=0)
>>> data.x.shape, data.x_held_out.shape
((1438, 64), (359, 64))
"""

from __future__ import annotations

import gzip
import math
import zlib
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

import minigrad as mg
from demos.lesson import UserError, require
from minigrad.data import split
from minigrad.settings import generator

HELD_OUT = 0.2  # share of the images, drawn at random, that no network trains on, if a data set has no test images


class Dataset(NamedTuple):
    """Images (count, pixels), shifted and scaled to mean 0 and variance 1 over all pixels, and labels (count,)."""

    x: np.ndarray
    y: np.ndarray
    x_held_out: np.ndarray
    y_held_out: np.ndarray
    note: str


def load(name: str, folder: str | None = None, rng: np.random.Generator | int | None = None) -> Dataset:
    """The data set `name`: digits, or mnist or cifar10 from the files in `folder`."""
    require(name in ("digits", "mnist", "cifar10"), f"data: {name!r} is none of digits, mnist, cifar10")
    if name == "digits":
        return digits(rng)
    require(folder is not None, f"data: {name} needs the folder that holds its files (--data-dir)")
    require(Path(folder).is_dir(), f"data: there is no folder {folder}")
    return mnist(folder, rng) if name == "mnist" else cifar10(folder)


def digits(rng: np.random.Generator | int | None = None) -> Dataset:
    """The UCI handwritten digits; which of them are held out is drawn from `rng`."""
    with resources.files("demos").joinpath("data", "digits.npz").open("rb") as file, np.load(file) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    return scaled("UCI digits, 8×8", *split(images, labels, HELD_OUT, rng))


def mnist(folder: str | Path, rng: np.random.Generator | int | None = None) -> Dataset:
    """MNIST from the four files in `folder`, as published: idx format, gzipped or not.

    If the folder holds only the test files, a fifth of their images, drawn from `rng`, is held out and the rest
    trained on; `.note` says so.

    Raises
    ------
    UserError
        If a file is missing, cut short, or not what its name says; the sentence names its path.
    """
    folder = Path(folder)
    test = pair(folder, "t10k")
    if not any(folder.glob("train-*")):
        return scaled("MNIST (test files only)", *split(*test, HELD_OUT, rng))
    train = pair(folder, "train")
    require(train[0].shape[1:] == test[0].shape[1:], f"data: training and test images in {folder} differ in size")
    return scaled("MNIST", *train, *test)


def cifar10(folder: str | Path) -> Dataset:
    """CIFAR-10 from its binary files in `folder`, as published: five to learn from, one to test on.

    Raises
    ------
    UserError
        As for `mnist`.
    """
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    *train, test = (records(Path(folder) / name) for name in names)
    x, y = (np.concatenate(parts) for parts in zip(*train, strict=True))
    return scaled("CIFAR-10", x, y, *test)


def records(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one binary file: for each image a byte for the label and 3·32·32 for the pixels."""
    require(path.is_file(), f"data: {path.parent} holds no file {path.name}; CIFAR-10's binary version has it")
    content = np.frombuffer(path.read_bytes(), np.uint8)
    fits = content.size and content.size % 3073 == 0
    require(fits, f"data: {path} has {content.size:,} bytes, not a multiple of 3,073: empty, cut short or damaged")
    labels, images = np.split(content.reshape(-1, 3073), [1], axis=1)
    require(labels.max() <= 9, f"data: labels in {path} go up to {labels.max()}, those of CIFAR-10 only to 9")
    return images, labels[:, 0]


def noise(rng: np.random.Generator | int | None = None) -> Dataset:
    """100 rows of 784 random numbers with random labels, to be learned by heart: the same rows are held out."""
    rng = generator(rng)
    x, y = rng.normal(size=(100, 784)).astype(mg.default_dtype()), rng.integers(0, 10, 100)
    return Dataset(x, y, x, y, "100 rows of random numbers with random labels, to be learned by heart")


def pair(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The images and the labels of one part of MNIST."""
    images = read_idx(find(folder, f"{part}-images-idx3-ubyte"), 3)
    labels = read_idx(find(folder, f"{part}-labels-idx1-ubyte"), 1)
    require(len(images) == len(labels), f"data: {folder} holds {len(images)} {part} images but {len(labels)} labels")
    require(len(images) >= 10, f"data: {folder} holds only {len(images)} {part} images")
    require(labels.max() <= 9, f"data: {part} labels in {folder} go up to {labels.max()}, those of digits only to 9")
    return images, labels


def find(folder: Path, name: str) -> Path:
    """The file `name` in `folder`, gzipped or not; some copies write a dot before idx."""
    names = [spelling + end for spelling in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).is_file()]
    require(bool(found), f"data: {folder} holds no file {name} or {name}.gz")
    return found[0]


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """The array in an idx file of unsigned bytes: a magic number, the size of each axis, the bytes.

    MNIST's images have `ndim` 3 and the magic number 2051, its labels 1 and 2049.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:  # a wrong checksum is a BadGzipFile, too
        raise UserError(f"data: {path} is cut short, damaged or not a gzip file: {error}") from error
    start = 4 * (ndim + 1)
    require(len(content) >= start, f"data: {path} is cut short: {len(content)} bytes, its header alone has {start}")
    magic, *shape = np.frombuffer(content, ">u4", ndim + 1).tolist()
    expected = 2048 + ndim  # 8: unsigned bytes, then the number of axes
    require(magic == expected, f"data: {path} starts with {magic}; an MNIST file of this name starts with {expected}")
    size = start + math.prod(shape)
    require(
        len(content) == size,
        f"data: {path} has {len(content):,} bytes where its header, {'×'.join(map(str, shape))}, asks for {size:,}",
    )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def scaled(name: str, x: np.ndarray, y: np.ndarray, x_held_out: np.ndarray, y_held_out: np.ndarray) -> Dataset:
    """Images as rows of numbers, scaled by the mean and deviation of the training images."""
    mean, deviation = x.mean(), x.std()
    require(deviation > 0, f"data: all images of {name} are blank")
    x, x_held_out = (((a - mean) / deviation).reshape(len(a), -1).astype(mg.default_dtype()) for a in (x, x_held_out))
    note = f"{name}: {len(x):,} images to learn from, {len(x_held_out):,} held out"
    return Dataset(x, y.astype(np.int64), x_held_out, y_held_out.astype(np.int64), note)
