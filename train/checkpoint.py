"""Checkpoints that come back bit for bit or are skipped by name, stored by Orbax.

Orbax commits a checkpoint by renaming a finished directory, so a kill -9 loses at most the save under way
and leaves nothing that is taken for a checkpoint. It neither notices a flipped bit nor falls back to an older
one: the sealed `record` beside the arrays does. It holds a CRC-32 of every leaf, and `restore` walks back
until all agree.

Saving is synchronous: 20 MB take 0.2 s, and a save that has returned survives the process. What a power cut
may tear is found by the same checksums.
"""

import dataclasses
import json
import logging
import shutil
import zlib
from pathlib import Path
from typing import Any, Generic, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jaxtyping import UInt8

from train import host_state
from train.errors import UserError
from train.json_files import parse_json

State = TypeVar("State")
Json = dict[str, Any]
Packed = UInt8[np.ndarray, " n"]

_LOG = logging.getLogger(__name__)
_TEMPORARY = ".orbax-checkpoint-tmp"  # Orbax's own mark of what is not committed

# Orbax narrates every save through absl, and logs what it also raises.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)


class _DamagedError(Exception):
    """A checkpoint, or a part of it, is not what was saved."""


@dataclasses.dataclass(frozen=True)
class Restored(Generic[State]):
    """A checkpoint as it was saved.

    Attributes:
      step: the step it was saved at.
      state: the saved state, placed where the abstract state asked for.
      progress: the dict saved with it.
      skipped: (step, reason) of each newer checkpoint that was damaged, newest first.
    """

    step: int
    state: State
    progress: Json
    skipped: list[tuple[int, str]]


class Checkpoints:
    """The checkpoints in one directory, at most `keep` of them, named by step.

    With several processes all of them construct, `save` and `restore`: process 0 writes and all of them read,
    so the directory lies on a file system they share, and the state is replicated over processes.

    Args:
      directory: made if absent.
      keep: how many to keep; an old one is deleted only once a newer one is committed.

    Raises:
      UserError: if the directory can't be made.
    """

    def __init__(self, directory: Path, keep: int = 3):
        self.directory = Path(directory).resolve()  # Orbax fails on relative paths, but only once it saves
        self._keep = keep
        self._abandoned: set[int] = set()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            remedy = "move away the file that lies where a folder belongs"
            raise UserError("checkpoints", self.directory, "is not a folder", remedy) from error
        except OSError as error:
            raise _unwritable(self.directory, error) from error
        self._manager = _lone_manager(self.directory)

    def steps(self) -> list[int]:
        """The committed steps, oldest first, damaged ones included."""
        self._manager.reload()
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: Any, progress: Json) -> None:
        """Commits a checkpoint, then deletes those beyond `keep` and those of an abandoned future.

        Abandoned is what is later than `step`, or later than the step that was last restored.

        Args:
          step: its name. A checkpoint of this name is left alone if it holds the same, else replaced.
          state: a pytree of arrays, typed keys and Python numbers (int32, float32 then, as JAX takes them).
            It may be donated as soon as this returns.
          progress: a small dict that JSON can hold.

        Raises:
          UserError: if it can't be written (disk full, read-only); earlier checkpoints are intact then.
        """
        arrays = host_state.to_host(state)
        packed = host_state.pack(arrays)
        labels = host_state.label(state, arrays)
        record = _sealed({"step": step, "progress": progress, "leaves": labels, "bytes": packed.size})
        failure = self._write(step, packed, record) if jax.process_index() == 0 else None
        if any(_from_all(failure is not None)):
            raise _unwritable(self.directory, failure or "process 0 failed") from failure

    def restore(self, abstract_state: State, step: int | None = None) -> Restored[State] | None:
        """Restores the newest intact checkpoint, or the one of `step`.

        It writes nothing, so a reader never disturbs a run: what is skipped is deleted by the next `save`.

        Args:
          abstract_state: the structure to fill. A leaf with a sharding (array or ShapeDtypeStruct) is placed
            there, one without on the default device; NumPy arrays and Python numbers stay on the host.
          step: the only step to try; the newest intact one if None.

        Returns:
          The checkpoint, or None if none was ever committed here.

        Raises:
          UserError: if no checkpoint is intact, or one holds other leaves, shapes or dtypes than asked for.
        """
        steps = self.steps()
        if len(set(_from_all(zlib.crc32(str(steps).encode()) >> 1))) > 1:  # 31 bits fit JAX's int32
            remedy = "put --run-dir on a file system that all hosts share"
            raise UserError("checkpoints", self.directory, "the processes see different files here", remedy)
        skipped = self._no_folders()
        if not steps and step is None and not skipped:
            return None
        for candidate in steps[::-1] if step is None else [step]:
            try:
                state, progress = self._read(candidate, abstract_state)
            except _DamagedError as damage:
                _LOG.warning("checkpoint skipped: %s: %s", self.directory / str(candidate), damage)
                skipped.append((candidate, str(damage)))
                continue
            self._abandoned = {s for s in steps if s > candidate}
            if any(s > candidate for s, _ in skipped):
                _LOG.warning("checkpoint used: %s", self.directory / str(candidate))
            return Restored(candidate, state, progress, skipped)
        told = _first([f"step {s}: {reason}" for s, reason in skipped], 2)
        remedy = "put intact ones there from a copy, or start a new run"
        raise UserError("checkpoints", self.directory, f"no checkpoint is intact: {told}", remedy)

    def _no_folders(self) -> list[tuple[int, str]]:
        """What is named like a checkpoint but is not one, newest first."""
        places = (p for p in self.directory.iterdir() if p.name.isascii() and p.name.isdigit())
        strange = [(int(p.name[:18]), "is not a folder") for p in places if not p.is_dir()]
        for step, problem in sorted(strange, reverse=True):
            _LOG.warning("checkpoint skipped: %s %s", self.directory / str(step), problem)
        return sorted(strange, reverse=True)

    def close(self) -> None:
        """Frees what Orbax holds."""
        self._manager.close()

    def _read(self, step: int, abstract_state: State) -> tuple[State, Json]:
        """State and progress of one step; if one process finds it damaged, all raise _DamagedError."""
        content, arrays, reason = {}, {}, ""
        try:
            content = self._record(step)
            _check_same_leaves(self.directory / str(step), content["leaves"], abstract_state)
            arrays = host_state.unpack(self._packed(step, content["bytes"]), abstract_state)
            if bad := host_state.damaged(arrays, content["leaves"]):
                raise _DamagedError(f"wrong checksum of {_first(bad, 1)}")
        except _DamagedError as damage:
            reason = str(damage)
        if any(_from_all(bool(reason))):
            raise _DamagedError(reason or "damaged as another process reads it")
        return host_state.from_host(arrays, content["leaves"], abstract_state), content["progress"]

    def _record(self, step: int) -> Json:
        """The content of the record, once its own checksum agrees."""
        args = ocp.args.Composite(record=ocp.args.JsonRestore())
        try:
            record = self._manager.restore(step, args=args)["record"]
            content, checksum = record["content"], record["crc32"]
        except Exception as error:  # Orbax has no class for this: whatever a torn file provokes
            raise _DamagedError(f"record can't be read ({_brief(error)})") from error
        if checksum != host_state.json_crc32(content) or content["step"] != step:
            raise _DamagedError("record fails its checksum")
        return content

    def _packed(self, step: int, size: int) -> Packed:
        """The bytes of the state, not yet verified."""
        args = ocp.args.Composite(state=ocp.args.StandardRestore({"packed": np.empty(size, np.uint8)}))
        try:
            return self._manager.restore(step, args=args)["state"]["packed"]
        except Exception as error:  # as above
            raise _DamagedError(f"state can't be read ({_brief(error)})") from error

    def _write(self, step: int, packed: Packed, record: Json) -> Exception | None:
        """Saves and prunes; hands back what went wrong, so that all processes raise together."""
        # One array for all leaves: Orbax reads arrays at once, and each of a torn file complains for itself.
        items = {"state": ocp.args.StandardSave({"packed": packed}), "record": ocp.args.JsonSave(record)}
        self._sweep()
        try:
            if not self._holds(step, packed, record):
                self._delete(step)
                self._manager.save(step, args=ocp.args.Composite(**items), force=True)
            earlier = [s for s in self.steps() if s <= step and (s == step or s not in self._abandoned)]
            for stale in set(self.steps()) - set(earlier[-self._keep :]):
                self._delete(stale)
            self._abandoned = set()
        except Exception as error:  # tensorstore turns a full disk into a ValueError
            return error
        finally:
            self._sweep()
        return None

    def _holds(self, step: int, packed: Packed, record: Json) -> bool:
        """Whether an intact checkpoint of this very content is there already."""
        try:
            same = step in self.steps() and self._record(step) == record["content"]
            return same and np.array_equal(self._packed(step, packed.size), packed)
        except _DamagedError:
            return False

    def _delete(self, step: int) -> None:
        """Deletes at once: a kill in between leaves nothing that is listed as a step."""
        committed = self.directory / str(step)
        if committed.is_file():
            committed.unlink()
        elif committed.exists():
            committed.rename(self.directory / f"{step}{_TEMPORARY}-deleted")
        self._sweep()
        self._manager.reload()

    def _sweep(self) -> None:
        """Frees the space of saves and deletions that a kill or a full disk cut short."""
        for leftover in self.directory.glob(f"*{_TEMPORARY}*"):
            shutil.rmtree(leftover, ignore_errors=True)


def _lone_manager(directory: Path) -> ocp.CheckpointManager:
    """A manager that waits for no other process: a barrier which a failing one never reaches would hang."""
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process_{me}"
    )
    options = ocp.CheckpointManagerOptions(
        create=False, max_to_keep=None, enable_async_checkpointing=False, multiprocessing_options=alone
    )
    return ocp.CheckpointManager(directory, options=options)


def _sealed(content: Json) -> Json:
    content = parse_json(json.dumps(content))  # as it will be read back
    return {"content": content, "crc32": host_state.json_crc32(content)}


def _from_all(value: int) -> list[int]:
    """The values that all processes passed to this same call."""
    if jax.process_count() == 1:
        return [value]
    return multihost_utils.process_allgather(np.int32(value)).tolist()


def _check_same_leaves(where: Path, labels: host_state.Labels, abstract_state: Any) -> None:
    """Raises UserError where another model was saved than the one to restore: that is not damage."""
    saved = {name: leaf["kind"] for name, leaf in labels.items()}
    wanted = host_state.kinds(abstract_state)
    names = [name for name in {**saved, **wanted} if saved.get(name) != wanted.get(name)]
    if names:
        told = [f"{n} ({saved.get(n, 'absent')} there, {wanted.get(n, 'absent')} here)" for n in names]
        problem = f"was saved with other settings, as these leaves show: {_first(told, 3)}"
        raise UserError(
            "checkpoint", where, problem, "use the settings it was saved with, or start a new run"
        )


def _first(names: list[str], count: int) -> str:
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if names[count:] else "")


def _unwritable(directory: Path, cause: Exception | str) -> UserError:
    reason = cause if isinstance(cause, str) else _brief(cause)
    remedy = "free space there or choose another --run-dir; earlier checkpoints are intact"
    return UserError("checkpoints", directory, f"can't be written ({reason})", remedy)


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text[:160]}"
