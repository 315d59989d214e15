"""A checkpoint comes back bit for bit, or is skipped by name; never as other numbers."""

import logging
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from train.checkpoint import Checkpoints, Restored
from train.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
OPTIMISER = optax.chain(optax.clip_by_global_norm(1.0), optax.rmsprop(1e-3, momentum=0.9))


@flax.struct.dataclass
class State:
    step: jax.Array
    params: dict[str, Any]
    opt_state: Any
    key: jax.Array


@jax.jit
def init(seed: int) -> State:
    params_key, state_key = jax.random.split(jax.random.key(seed))
    kernels = jax.random.normal(params_key, (2, 40, 5))
    params = {
        "encoder": {"kernel": kernels[0], "bias": jnp.full((5,), seed, jnp.bfloat16)},
        "decoder": {"kernel": kernels[1], "mask": jnp.zeros((0, 3))},
    }
    return State(jnp.int32(seed), params, OPTIMISER.init(params), state_key)


ABSTRACT = jax.eval_shape(init, 0)


def bits(tree: Any) -> list[tuple[str, bytes]]:
    def data(x: jax.Array) -> jax.Array:
        return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    return [(str(x.dtype), np.asarray(data(x)).tobytes()) for x in jax.tree.leaves(tree)]


def save(directory: Path, *steps: int, keep: int = 3) -> None:
    """Saves at each step the state init(step)."""
    checkpoints = Checkpoints(directory, keep)
    for step in steps:
        checkpoints.save(step, init(step), {"best": step / 3})
    checkpoints.close()


def restore(directory: Path, abstract: Any = ABSTRACT, step: int | None = None) -> Restored[Any]:
    checkpoints = Checkpoints(directory)
    found = checkpoints.restore(abstract, step)
    checkpoints.close()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Steps 1 and 2; not to be changed."""
    directory = tmp_path_factory.mktemp("saved")
    save(directory, 1, 2)
    return directory


def test_round_trip_is_bit_for_bit(saved: Path):
    found = restore(saved)
    assert (found.step, found.progress, found.skipped) == (2, {"best": 2 / 3}, [])
    assert bits(found.state) == bits(init(2))
    assert jax.tree.structure(found.state) == jax.tree.structure(init(2))
    assert jax.random.key_impl(found.state.key) == jax.random.key_impl(init(2).key)


def test_the_state_trains_on_as_the_saved_one(saved: Path):
    def update(state: State) -> State:
        grads = jax.tree.map(jnp.cos, state.params)
        updates, opt_state = OPTIMISER.update(grads, state.opt_state, state.params)
        return state.replace(params=optax.apply_updates(state.params, updates), opt_state=opt_state)

    step = jax.jit(update, donate_argnums=0)
    assert bits(step(restore(saved).state)) == bits(step(init(2)))


def test_a_step_can_be_chosen(saved: Path):
    assert bits(restore(saved, step=1).state) == bits(init(1))
    with pytest.raises(UserError, match=r"no checkpoint is intact: step 7"):
        restore(saved, step=7)


def test_an_empty_directory_restores_nothing(tmp_path: Path):
    assert Checkpoints(tmp_path / "new").restore(ABSTRACT) is None


def test_relative_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    save(Path("here"), 4)
    assert restore(Path("here")).step == 4


def test_states_of_several_seeds_and_of_the_host(tmp_path: Path):
    keys = jax.random.split(jax.random.key(0), 4)
    state = {"seeds": jax.vmap(init)(jnp.arange(4)), "keys": keys, "count": 5, "pi": np.array([np.pi])}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(0, state, {})
    found = checkpoints.restore(state)
    assert found is not None
    assert (found.state["count"], type(found.state["count"])) == (5, int)
    assert (found.state["pi"][0], found.state["pi"].dtype) == (np.pi, np.float64)
    assert bits([found.state["seeds"], found.state["keys"]]) == bits([state["seeds"], keys])


def test_progress_holds_infinities(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(0, init(0), {"best": float("inf"), "history": (1, 2.5)})
    found = checkpoints.restore(ABSTRACT)
    assert found is not None
    assert found.progress == {"best": float("inf"), "history": [1, 2.5]}


def test_the_saved_state_may_be_donated(tmp_path: Path):
    step = jax.jit(lambda s: s.replace(params=jax.tree.map(lambda p: p + 1, s.params)), donate_argnums=0)
    state, want = init(1), bits(init(1))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state, {})
    step(state)
    assert bits(restore(tmp_path).state) == want


def test_restores_onto_another_sharding(saved: Path):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    replicated, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))

    def placed(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        sharding = split if x.shape[:1] == (40,) else replicated
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    state = restore(saved, jax.tree.map(placed, ABSTRACT)).state
    assert bits(state) == bits(init(2))
    assert state.params["encoder"]["kernel"].sharding.is_equivalent_to(split, 2)
    assert all(x.sharding.device_set == set(jax.devices()) for x in jax.tree.leaves(state))


def test_a_sharded_state_is_saved_whole(tmp_path: Path):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    keys = jax.device_put(jax.random.split(jax.random.key(0), 8), NamedSharding(mesh, P("data")))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(0, keys, {})
    found = checkpoints.restore(keys)
    assert found is not None
    assert bits(found.state) == bits(keys)
    assert found.state.sharding.is_equivalent_to(keys.sharding, 1)


# Which checkpoints are kept


def test_keeps_the_newest(tmp_path: Path):
    save(tmp_path, 1, 5, 10, 15, keep=2)
    assert Checkpoints(tmp_path).steps() == [10, 15]


def test_saving_the_same_step_again(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, init(3), {})
    written = (tmp_path / "3").stat().st_mtime_ns
    checkpoints.save(3, init(3), {})
    assert (tmp_path / "3").stat().st_mtime_ns == written
    checkpoints.save(3, init(4), {})
    assert bits(restore(tmp_path).state) == bits(init(4))


def test_saving_an_earlier_step_drops_the_later_ones(tmp_path: Path):
    save(tmp_path, 10, 20, 30)
    save(tmp_path, 15, keep=1)
    assert Checkpoints(tmp_path).steps() == [15]


def test_saving_after_walking_back_drops_the_damaged(tmp_path: Path):
    save(tmp_path, 10, 20)
    shutil.rmtree(tmp_path / "20" / "state")
    checkpoints = Checkpoints(tmp_path)
    found = checkpoints.restore(ABSTRACT)
    assert found is not None
    assert found.step == 10
    assert checkpoints.steps() == [10, 20], "reading must not write"
    checkpoints.save(15, init(15), {})
    assert checkpoints.steps() == [10, 15]
    checkpoints.save(20, init(20), {})
    checkpoints.save(30, init(30), {})
    assert checkpoints.steps() == [15, 20, 30]


# Damage


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("damage", [halve, flip, zero, Path.unlink], ids=lambda f: f.__name__)
def test_damage_to_any_file_is_noticed_or_harmless(
    saved: Path, tmp_path: Path, damage: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
):
    """Every file of the newest checkpoint in turn: the same bits, or the step before and a reason."""
    outcomes = {}
    for file in sorted(f.relative_to(saved) for f in (saved / "2").rglob("*") if f.is_file()):
        copy = tmp_path / "copy"
        shutil.copytree(saved, copy)
        damage(copy / file)
        caplog.clear()
        found = restore(copy)
        assert bits(found.state) == bits(init(found.step)), file
        assert found.progress == {"best": found.step / 3}, file
        assert [s for s, _ in found.skipped] == ([] if found.step == 2 else [2]), file
        assert len(caplog.messages) == 2 * len(found.skipped), file  # and what is used
        outcomes[str(file)] = found.skipped[0][1] if found.skipped else ""
        shutil.rmtree(copy)
    if damage is not Path.unlink:
        assert outcomes["2/record/metadata"].startswith("record "), outcomes
    assert sum(map(bool, outcomes.values())) >= 4, outcomes


def test_every_flipped_bit_of_the_data_is_noticed(saved: Path, tmp_path: Path):
    shutil.copytree(saved, tmp_path / "copy")
    files = [f for f in (tmp_path / "copy" / "2" / "state").rglob("*") if f.is_file()]
    file = max(files, key=lambda f: f.stat().st_size)
    whole, draw = file.read_bytes(), random.Random(0)
    reasons = []
    for _ in range(25):
        content = bytearray(whole)
        content[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        file.write_bytes(content)
        found = restore(tmp_path / "copy")
        assert bits(found.state) == bits(init(found.step))
        reasons += [reason for _, reason in found.skipped]
    assert len(reasons) >= 20 and any("wrong checksum of" in r for r in reasons), reasons


def test_what_is_skipped_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    save(tmp_path, 1, 2, 3)
    (tmp_path / "2" / "record" / "metadata").write_text('{"content": {"step": 2}, "crc32": 1}')
    shutil.rmtree(tmp_path / "3")
    (tmp_path / "3").mkdir()
    (tmp_path / "4.orbax-checkpoint-tmp").mkdir()
    found = restore(tmp_path)
    assert found.step == 1
    assert [step for step, _ in found.skipped] == [3, 2]
    assert found.skipped[1][1] == "record fails its checksum"
    assert [f"{tmp_path}/{s}" in m for s, m in zip((3, 2, 1), caplog.messages, strict=True)] == [True] * 3


def test_a_file_in_place_of_a_checkpoint_is_named(
    saved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    copy = shutil.copytree(saved, tmp_path / "copy")
    shutil.rmtree(copy / "2")
    (copy / "2").write_text("")
    assert restore(copy).step == 1
    assert "2 is not a folder" in caplog.messages[0] and caplog.messages[1].endswith(
        "used: " + str(copy / "1")
    )
    shutil.rmtree(copy / "1")
    with pytest.raises(UserError, match="no checkpoint is intact: step 2: is not a folder"):
        restore(copy)


def test_a_renamed_checkpoint_is_not_taken_for_another_step(tmp_path: Path):
    save(tmp_path, 1)
    (tmp_path / "1").rename(tmp_path / "9")
    with pytest.raises(UserError, match="step 9: record fails its checksum"):
        restore(tmp_path)


def test_nothing_intact_is_an_error(tmp_path: Path):
    save(tmp_path, 1, 2)
    for step in "12":
        shutil.rmtree(tmp_path / step / "state")
    with pytest.raises(UserError, match=rf"{tmp_path}: no checkpoint is intact: step 2: .*, step 1: "):
        restore(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: {**p, "decoder": {}}, r"params/decoder/kernel \(float32\[40, 5\] there, absent here\)"),
        (lambda p: {**p, "new": jnp.zeros(3)}, r"params/new \(absent there, float32\[3\] here\)"),
        (
            lambda p: jax.tree.map(lambda x: jax.ShapeDtypeStruct((*x.shape, 2), x.dtype), p),
            r"params/encoder/bias \(bfloat16\[5\] there, bfloat16\[5, 2\] here\).* and 1 more",
        ),
    ],
    ids=["missing", "extra", "shape"],
)
def test_other_settings_are_not_taken_for_damage(saved: Path, change: Callable[[Any], Any], told: str):
    with pytest.raises(UserError, match=f"was saved with other settings.*{told}"):
        restore(saved, ABSTRACT.replace(params=change(ABSTRACT.params)))


def test_another_kind_of_key_is_told(saved: Path):
    key = jax.eval_shape(lambda: jax.random.key(0, impl="rbg"))
    with pytest.raises(UserError, match=r"key \(key<fry>\[\] there, key<rbg>\[\] here\)"):
        restore(saved, ABSTRACT.replace(key=key))


def test_leaves_of_one_name_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="one name"):
        Checkpoints(tmp_path).save(0, {"a": {"b": jnp.zeros(1)}, "a/b": jnp.ones(1)}, {})


# Places that can't be written


def test_a_file_in_place_of_the_directory(tmp_path: Path):
    (tmp_path / "last").write_text("")
    with pytest.raises(UserError, match=f"{tmp_path}/last: is not a folder; move"):
        Checkpoints(tmp_path / "last")


def test_a_full_disk_leaves_the_earlier_checkpoints(tmp_path: Path):
    """A limit on the size of files stands for the full disk: the write fails halfway through the arrays."""
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, init(1), {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(UserError, match=f"{tmp_path}: can't be written .*earlier checkpoints are intact"):
            checkpoints.save(2, init(2), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert bits(restore(tmp_path).state) == bits(init(1))
    checkpoints.save(2, init(2), {})
    assert bits(restore(tmp_path).state) == bits(init(2))
    assert [path.name for path in tmp_path.iterdir()] == ["2"], "what failed must not hold space"


# Kills

SAVE_FOREVER = """
import itertools, pathlib, sys
import numpy as np
from train.checkpoint import Checkpoints
checkpoints = Checkpoints(pathlib.Path(sys.argv[1]), keep=int(sys.argv[2]))
found = checkpoints.restore({"a": np.zeros(200_000), "b": np.zeros(3)})
for step in itertools.count(found.step + 1 if found else 0):
    checkpoints.save(step, {"a": np.full(200_000, step / 7), "b": np.arange(3.0) * step}, {"step": step})
    print(step, flush=True)
"""


@pytest.mark.parametrize("keep", [pytest.param(3, marks=pytest.mark.slow), 1])
def test_kill_at_any_moment_loses_at_most_the_save_under_way(tmp_path: Path, keep: int):
    draw = random.Random(keep)
    last = -1
    for _ in range(3):
        command = [sys.executable, "-c", SAVE_FOREVER, str(tmp_path), str(keep)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()  # the program starts before it is killed
            time.sleep(draw.uniform(0, 0.4))
            process.kill()
            reported = [int(line) for line in process.stdout.read().split()]
        last = max([last + 1, *reported])
        found = restore(tmp_path, {"a": np.zeros(200_000), "b": np.zeros(3)})
        assert found.skipped == []
        assert last <= found.step <= last + 1
        assert np.all(found.state["a"] == found.step / 7) and np.all(
            found.state["b"] == np.arange(3) * found.step
        )
        last = found.step


def test_two_processes_save_and_restore_together(tmp_path: Path):
    program = """
import sys, pathlib
import jax, jax.numpy as jnp, numpy as np
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from train.checkpoint import Checkpoints
from train.errors import UserError
everywhere = NamedSharding(jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,)), P())
init = jax.jit(lambda s: {"w": jnp.arange(5.0) * s, "key": jax.random.key(s)}, out_shardings=everywhere)
checkpoints = Checkpoints(pathlib.Path(sys.argv[3]), keep=1)
for step in (1, 2):
    checkpoints.save(step, init(step), {})
found = checkpoints.restore(init(0))
assert found.step == 2 and all(leaf.sharding == everywhere for leaf in found.state.values())
np.testing.assert_array_equal(np.asarray(found.state["w"]), np.arange(5.0) * 2)
np.testing.assert_array_equal(jax.random.key_data(found.state["key"]), jax.random.key_data(init(2)["key"]))
if jax.process_index() == 0:
    checkpoints._manager.save = None  # only process 0 fails; both must stop
try:
    checkpoints.save(3, init(3), {})
except UserError as error:
    print("refused", error)
"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, f"127.0.0.1:{port}", str(i), str(tmp_path)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in (0, 1)
    ]
    for process in processes:
        out, error = process.communicate(timeout=900)
        assert process.returncode == 0, error
        assert "refused checkpoints" in out, out


def test_orbax_is_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    save(tmp_path, 1)
    restore(tmp_path)
    assert caplog.messages == []
