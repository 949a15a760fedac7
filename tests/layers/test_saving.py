"""States: saved in a dict or a file and loaded again, and the errors for one that does not fit."""

import os
import pickle
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import minigrad as mg
from layers import LSTM, BatchNorm, Dense, Module, Parameter, Sequential

BUILD = "from layers import *; model = Sequential(Dense(3, 4, 'tanh'), BatchNorm(4), Dense(4, 2))"


def build(seed=0):
    mg.seed(seed)
    return Sequential(Dense(3, 4, "tanh"), BatchNorm(4), Dense(4, 2))


def trained(seed=0):
    """A model whose buffers are no longer as they started."""
    model = build(seed)
    model(np.random.default_rng(seed).normal(size=(9, 3)))
    return model


def assert_same_state(a, b):
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name])


def test_state_holds_parameters_then_buffers_as_copies():
    model = trained()
    state = model.state_dict()
    assert list(state) == [
        *(name for name, _ in model.named_parameters()),
        "layers.1.running_mean",
        "layers.1.running_var",
    ]
    state["layers.0.weight"][:] = 0
    assert np.all(model[0].weight.data != 0)


def test_private_arrays_are_not_state():
    model = build()
    model._scratch = np.zeros(3)
    assert not [name for name in model.state_dict() if "scratch" in name]


def test_loading_a_state_gives_the_same_numbers_and_shares_no_memory():
    model, other = trained(), build(1)
    state = model.state_dict()
    other.load_state_dict(state)
    assert_same_state(other.state_dict(), state)
    state["layers.1.running_mean"][:] = 7
    state["layers.0.bias"][:] = 7
    assert_same_state(other.state_dict(), model.state_dict())


def test_a_state_is_cast_to_the_models_dtype():
    model, other = trained(), build(1).astype("float32")
    other.load_state_dict(model.state_dict())
    assert {array.dtype for array in other.state_dict().values()} == {np.dtype("float32")}
    np.testing.assert_array_equal(other[0].weight.data, model[0].weight.data.astype("float32"))


def test_tensors_and_lists_are_taken_too():
    model = Dense(2, 1)
    model.load_state_dict({"weight": mg.tensor([[1.0], [2.0]], requires_grad=True), "bias": [3]})
    np.testing.assert_array_equal(model.weight.data, [[1.0], [2.0]])
    np.testing.assert_array_equal(model.bias.data, [3.0])


def test_a_graph_made_before_loading_keeps_its_numbers():
    model = trained().eval()
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    (expected,) = mg.grad(model(x).sum(), x)
    y = model(x).sum()
    model.load_state_dict(trained(5).state_dict())
    (found,) = mg.grad(y, x)
    np.testing.assert_array_equal(found.data, expected.data)


# What does not fit

FAULTS = {
    "layers.9.weight is unexpected": lambda state: state.update({"layers.9.weight": np.zeros(2)}),
    "layers.1.running_var is missing": lambda state: state.pop("layers.1.running_var"),
    "layers.0.weight is missing": lambda state: state.pop("layers.0.weight"),
    r"layers.2.bias has shape \(1, 2\), not \(2,\)": lambda state: state.update({"layers.2.bias": np.ones((1, 2))}),
    r"layers.1.running_mean has shape \(\), not \(4,\)": lambda state: state.update({"layers.1.running_mean": 0.0}),
    "layers.0.bias holds <U1, not float64": lambda state: state.update({"layers.0.bias": list("abcd")}),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_state_that_does_not_fit_is_named_and_nothing_changes(message):
    model, state = trained(), trained(1).state_dict()
    before = model.state_dict()
    FAULTS[message](state)
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    assert_same_state(model.state_dict(), before)


@pytest.mark.parametrize("state", ["model.npz", [np.ones(2)], trained()])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(TypeError, match=f"a dict of arrays is needed, not {type(state).__name__}; load reads"):
        trained().load_state_dict(state)


def test_all_faults_are_named_at_once():
    model, state = trained(), trained(1).state_dict()
    for spoil in FAULTS.values():
        spoil(state)
    with pytest.raises(ValueError, match="load_state_dict") as caught:
        model.load_state_dict(state)
    assert str(caught.value).count(";") == len(FAULTS) - 1


def test_not_strict_takes_what_is_there_but_no_wrong_shape():
    model, other = trained(), trained(1)
    before = model.state_dict()
    model.load_state_dict({"layers.0.weight": other[0].weight.data, "elsewhere": np.zeros(1)}, strict=False)
    np.testing.assert_array_equal(model[0].weight.data, other[0].weight.data)
    np.testing.assert_array_equal(model[2].weight.data, before["layers.2.weight"])
    with pytest.raises(ValueError, match=r"layers\.0\.weight has shape"):
        model.load_state_dict({"layers.0.weight": np.zeros(3)}, strict=False)


def test_keys_that_differ_only_as_objects_are_refused():
    model = Module()
    model.heads = {1: Parameter([1.0]), "1": Parameter([2.0])}
    with pytest.raises(ValueError, match="same path"):
        model.state_dict()


# Files


def test_a_new_process_reads_the_same_bits(tmp_path):
    model = trained()
    model.save(tmp_path / "model.npz")
    x = np.random.default_rng(3).normal(size=(5, 3))
    code = f"""{BUILD}
import numpy as np
model.load({str(tmp_path / "model.npz")!r})
x = np.random.default_rng(3).normal(size=(5, 3))
for array in [*model.state_dict().values(), model.eval()(x).numpy()]:
    print(array.tobytes().hex())
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    arrays = [*model.state_dict().values(), model.eval()(x).numpy()]
    assert found == [array.tobytes().hex() for array in arrays]


def test_numpy_reads_the_file_and_the_suffix_may_be_left_out(tmp_path):
    model = trained()
    model.save(tmp_path / "model.v2")
    assert os.listdir(tmp_path) == ["model.v2.npz"]
    with np.load(tmp_path / "model.v2.npz", allow_pickle=False) as file:
        assert_same_state(dict(file), model.state_dict())
    other = build(1)
    other.load(str(tmp_path / "model.v2"))
    assert_same_state(other.state_dict(), model.state_dict())


@pytest.mark.parametrize("attribute", ["file", "args", "allow_pickle", "self"])
def test_any_attribute_name_can_be_saved(tmp_path, attribute):
    model = Module()
    setattr(model, attribute, Parameter([1.0, 2.0]))
    model.save(tmp_path / "model")
    setattr(model, attribute, Parameter([0.0, 0.0]))
    model.load(tmp_path / "model")
    np.testing.assert_array_equal(getattr(model, attribute).data, [1.0, 2.0])


@pytest.mark.parametrize("array", [np.array(["cat", "giraffe"]), np.array([1 + 2j, 3])])
def test_buffers_of_words_or_complex_numbers_are_read_back(tmp_path, array):
    """`save` wrote them, and `load` refused them."""
    model = Module()
    model.table = array
    model.save(tmp_path / "model")
    model.table = array[::-1].copy()
    model.load(tmp_path / "model")
    np.testing.assert_array_equal(model.table, array)
    with pytest.raises(ValueError, match="table holds float64, not"):
        model.load_state_dict({"table": [0.0, 1.0]})


def test_a_save_that_fails_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    model = trained()
    model.save(path)
    before = path.read_bytes()
    written = []

    def full_disk(file, array, **options):
        if len(written) == 3:
            raise OSError("no space left on device")
        written.append(array)
        return write_array(file, array, **options)

    write_array = np.lib.format.write_array
    monkeypatch.setattr(np.lib.format, "write_array", full_disk)
    with pytest.raises(OSError, match="no space left"):
        trained(1).save(path)
    assert len(written) == 3
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.npz"]


def test_a_save_that_is_killed_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.npz"
    trained().save(path)
    before = path.read_bytes()
    code = f"""{BUILD}
import os, signal, numpy as np
write_array = np.lib.format.write_array
def dying(file, array, **options):
    write_array(file, array, **options)
    os.kill(os.getpid(), signal.SIGKILL)
np.lib.format.write_array = dying
model.save({str(path)!r})
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode != 0
    assert path.read_bytes() == before
    model = build(1)
    model.load(path)
    assert_same_state(model.state_dict(), trained().state_dict())


@pytest.mark.skipif(os.name != "posix", reason="permissions as on POSIX")
def test_the_file_has_the_usual_permissions(tmp_path):
    trained().save(tmp_path / "model.npz")
    (tmp_path / "plain").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("model.npz", "plain")]
    assert modes[0] == modes[1]


def write_text(path):
    path.write_text("weights")


def write_pickle(path):
    path.write_bytes(pickle.dumps({"weight": np.zeros((3, 4))}))


def write_objects(path):
    np.savez(path, **{"layers.0.weight": np.array([{}, []], dtype=object)})


def write_half(path):
    trained().save(path)
    path.write_bytes(path.read_bytes()[:500])


def write_garbage_member(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("layers.0.weight.npy", b"not an array")


@pytest.mark.parametrize("write", [write_text, write_pickle, write_objects, write_half, write_garbage_member])
def test_a_file_of_another_kind_is_refused_and_nothing_changes(tmp_path, write):
    path = tmp_path / "model.npz"
    write(path)
    model = trained()
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"model\.npz is not a state written by save"):
        model.load(path)
    assert_same_state(model.state_dict(), before)


def test_a_file_of_another_model_is_named_key_by_key(tmp_path):
    LSTM(3, 4).save(tmp_path / "lstm")
    with pytest.raises(ValueError, match=r"layers\.0\.weight is missing.*layers\.0\.w_input is unexpected"):
        trained().load(tmp_path / "lstm")


def test_a_file_that_is_not_there_is_said_by_its_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        trained().load(tmp_path / "nowhere")


def test_a_folder_that_is_not_there_is_told_by_the_path_that_was_asked_for(tmp_path):
    path = tmp_path / "runs" / "best.npz"
    with pytest.raises(FileNotFoundError) as caught:
        Dense(2, 1).save(path)
    assert str(caught.value).endswith(f": {str(path)!r}")
    path.mkdir(parents=True)
    with pytest.raises(OSError, match="best") as caught:  # there is a folder of this name
        Dense(2, 1).save(path)
    assert ".best.npz." not in str(caught.value)
