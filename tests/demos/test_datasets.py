"""The digits that are shipped, and MNIST's and CIFAR-10's files: good ones, and every way in which one can be bad.

The real MNIST files are tested if the environment variable MNIST_DIR names their folder.
"""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from demos import datasets
from demos.lesson import UserError, main

MNIST = Path(os.environ.get("MNIST_DIR", "no folder"))


def idx(array, magic=None):
    """An array in MNIST's format."""
    magic = 2048 + array.ndim if magic is None else magic
    return struct.pack(f">{array.ndim + 1}I", magic, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path):
    """A folder with twenty test images of 4×4, gzipped, as MNIST's are."""
    return filled(tmp_path, "t10k", 20)


def filled(folder, part, count, compress=gzip.compress, end=".gz"):
    rng = np.random.default_rng(count)
    contents = {"images-idx3": rng.integers(0, 256, (count, 4, 4)), "labels-idx1": np.arange(count) % 10}
    for name, array in contents.items():
        (folder / f"{part}-{name}-ubyte{end}").write_bytes(compress(idx(array)))
    return folder


def test_digits_are_shipped_whole():
    data = datasets.digits(rng=0)
    assert data.x.shape == (1438, 64)
    assert data.x_held_out.shape == (359, 64)
    assert np.array_equal(
        np.bincount(np.r_[data.y, data.y_held_out]), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    )
    assert data.x.mean() == pytest.approx(0, abs=1e-12)
    assert data.x.std() == pytest.approx(1)
    assert data.note == "UCI digits, 8×8: 1,438 images to learn from, 359 held out"


def test_digits_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.datasets")
    theirs = sklearn.load_digits()
    with np.load(Path(datasets.__file__).parent / "data" / "digits.npz") as ours:
        assert ours["images"].dtype == ours["labels"].dtype == np.uint8
        assert np.array_equal(ours["images"], theirs.images)
        assert np.array_equal(ours["labels"], theirs.target)


def test_the_same_seed_holds_out_the_same_images():
    first, again, other = datasets.digits(3), datasets.digits(3), datasets.digits(4)
    assert np.array_equal(first.x_held_out, again.x_held_out)
    assert not np.array_equal(first.y_held_out, other.y_held_out)


def test_no_image_is_on_both_sides():
    """The two sides together hold every digit with its label as often as the file does."""
    data = datasets.digits(0)
    with np.load(Path(datasets.__file__).parent / "data" / "digits.npz") as shipped:
        images, labels = shipped["images"].reshape(-1, 64), shipped["labels"]
    rows = np.unique(np.c_[images, labels], axis=0, return_counts=True)[1]
    ours = np.c_[np.r_[data.x, data.x_held_out].round(9), np.r_[data.y, data.y_held_out]]
    assert sorted(np.unique(ours, axis=0, return_counts=True)[1]) == sorted(rows)


def test_test_files_alone_are_divided_and_it_says_so(folder):
    data = datasets.mnist(folder, rng=0)
    assert data.x.shape == (16, 16)
    assert data.x_held_out.shape == (4, 16)
    assert "test files only" in data.note
    assert "4 held out" in data.note


def test_training_files_are_used_where_they_are(folder):
    filled(folder, "train", 50)
    data = datasets.mnist(str(folder))
    assert (len(data.x), len(data.x_held_out)) == (50, 20)
    assert np.array_equal(data.y, np.arange(50) % 10)
    assert "test files only" not in data.note


def test_pixels_survive(folder):
    """With the scaling undone, the numbers are those that were written."""
    filled(folder, "train", 50)
    data = datasets.mnist(folder)
    written = np.random.default_rng(50).integers(0, 256, (50, 4, 4)).reshape(50, 16)
    assert np.allclose(data.x * written.std() + written.mean(), written)


@pytest.mark.parametrize("spelling", ["t10k-{}-ubyte", "t10k-{}-ubyte.gz"])
def test_plain_files_and_the_other_spelling(tmp_path, spelling):
    compress, end = (gzip.compress, ".gz") if spelling.endswith("gz") else (bytes, "")
    filled(tmp_path, "t10k", 20, compress, end)
    path = tmp_path / spelling.format("images-idx3")
    path.rename(tmp_path / path.name.replace("-idx3", ".idx3"))
    assert len(datasets.mnist(tmp_path).x) == 16


def spoil(folder, name, change):
    path = folder / f"t10k-{name}-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))


FAULTS = {
    "no gzip": ("labels-idx1", lambda raw: b"<html>not found</html>", "not a gzip file: Not a gzipped file"),
    "gzip cut short": ("images-idx3", lambda raw: raw[:-20], "cut short, damaged or .*: Compressed file ended"),
    "one bit wrong": (
        "images-idx3",
        lambda raw: raw[:-6] + bytes([raw[-6] ^ 1]) + raw[-5:],
        "damaged or .*: CRC check failed",
    ),
    "gzip damaged": ("images-idx3", lambda raw: raw[:40] + bytes(40) + raw[80:], "damaged"),
    "empty": ("labels-idx1", lambda raw: gzip.compress(b""), "0 bytes, its header alone has 8"),
    "header only": (
        "images-idx3",
        lambda raw: gzip.compress(gzip.decompress(raw)[:16]),
        "16 bytes where .* asks for 336",
    ),
    "body cut short": (
        "images-idx3",
        lambda raw: gzip.compress(gzip.decompress(raw)[:-1]),
        "335 bytes .* 20×4×4.* 336",
    ),
    "too long": ("labels-idx1", lambda raw: gzip.compress(gzip.decompress(raw) + b"x"), "29 bytes .* asks for 28"),
    "foreign": (
        "images-idx3",
        lambda raw: gzip.compress(b"\x89PNG\r\n" + bytes(99)),
        "starts with .* starts with 2051",
    ),
    "not digits": ("labels-idx1", lambda raw: gzip.compress(idx(np.full(20, 47))), "go up to 47"),
    "other number of labels": (
        "labels-idx1",
        lambda raw: gzip.compress(idx(np.zeros(19))),
        "20 t10k images but 19 labels",
    ),
    "labels where images belong": ("images-idx3", lambda raw: gzip.compress(idx(np.zeros(20))), "starts with 2049"),
    "blank": ("images-idx3", lambda raw: gzip.compress(idx(np.zeros((20, 4, 4)))), "are blank"),
    "none": ("images-idx3", lambda raw: gzip.compress(idx(np.zeros((0, 4, 4)))), "0 t10k images but 20"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_file_is_one_sentence(folder, fault):
    name, change, message = FAULTS[fault]
    spoil(folder, name, change)
    with pytest.raises(UserError, match=message) as error:
        datasets.mnist(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value) or "blank" in str(error.value)


def test_missing_folder_and_missing_files(folder, tmp_path):
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        datasets.load("mnist", str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no file t10k-images-idx3-ubyte or"):
        datasets.mnist(tmp_path / "empty")
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"")
    with pytest.raises(UserError, match="cut short: 0 bytes"):
        datasets.mnist(folder)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(np.ones((9, 4, 4)))))
    with pytest.raises(UserError, match="no file train-labels-idx1-ubyte"):
        datasets.mnist(folder)


def test_training_and_test_images_of_different_sizes(folder):
    (folder / "train-images-idx3-ubyte").write_bytes(idx(np.ones((10, 5, 5))))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(10)))
    with pytest.raises(UserError, match="differ in size"):
        datasets.mnist(folder)


def test_load_by_name(folder):
    assert datasets.load("digits", rng=1).x.shape == (1438, 64)
    assert datasets.load("mnist", folder).x.shape == (16, 16)
    with pytest.raises(UserError, match="needs the folder"):
        datasets.load("mnist")
    with pytest.raises(UserError, match="cifar10 needs the folder"):
        datasets.load("cifar10")
    with pytest.raises(UserError, match="'cifar' is none of digits, mnist, cifar10"):
        datasets.load("cifar")


# CIFAR-10

CIFAR = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]


@pytest.fixture
def cifar(tmp_path):
    """A folder with six small files in CIFAR-10's binary format: a label, then 1,024 red, green and blue bytes."""
    for i, name in enumerate(CIFAR):
        rng = np.random.default_rng(i)
        rows = np.c_[rng.integers(0, 10, 4), rng.integers(0, 256, (4, 3072))]
        (tmp_path / f"{name}.bin").write_bytes(rows.astype(np.uint8).tobytes())
    return tmp_path


def test_cifar10_is_what_was_written(cifar):
    data = datasets.load("cifar10", str(cifar))
    assert data.x.shape == (20, 3072)
    assert data.x_held_out.shape == (4, 3072)
    assert data.note == "CIFAR-10: 20 images to learn from, 4 held out"
    rows = np.array([[*(cifar / f"{name}.bin").read_bytes()] for name in CIFAR], float).reshape(24, 3073)
    x, labels = rows[:, 1:], rows[:, 0]
    assert np.allclose(np.r_[data.x, data.x_held_out] * x[:20].std() + x[:20].mean(), x)
    assert np.array_equal(np.r_[data.y, data.y_held_out], labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw[:-1], "12,291 bytes, not a multiple of 3,073"),
        (lambda raw: raw + b"xy", "12,294 bytes"),
        (lambda raw: b"", "has 0 bytes"),
        (lambda raw: b"\x0a" + raw[1:], "go up to 10, those of CIFAR-10 only to 9"),
    ],
)
@pytest.mark.parametrize("name", ["data_batch_3", "test_batch"])
def test_a_bad_cifar_file_is_one_sentence(cifar, name, change, message):
    path = cifar / f"{name}.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=message) as error:
        datasets.cifar10(cifar)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_cifar_file_is_named(cifar):
    (cifar / "data_batch_2.bin").unlink()
    with pytest.raises(UserError, match=r"holds no file data_batch_2\.bin; CIFAR-10's binary version has it"):
        datasets.cifar10(cifar)


def test_a_bad_file_ends_the_command_with_2(cifar, capsys, tmp_path):
    (cifar / "test_batch.bin").write_bytes(bytes(5))
    options = ["--data", "cifar10", "--data-dir", str(cifar), "--out", str(tmp_path / "out")]
    assert main(["remedies", *options]) == 2
    assert "test_batch.bin has 5 bytes" in capsys.readouterr().err


@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST_DIR names no folder")
def test_the_real_test_set():
    data = datasets.mnist(MNIST, rng=0)
    assert data.x.shape == (8000, 784)
    assert data.x_held_out.shape == (2000, 784)
    labels = np.bincount(np.r_[data.y, data.y_held_out])
    assert np.array_equal(labels, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
