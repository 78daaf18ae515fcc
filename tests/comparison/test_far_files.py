"""Files for machines that do not see the comparison's folder, with workers that are played by this process."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unmask.comparison import far_files
from unmask.comparison.far_files import FarFiles
from unmask.comparison.far_worker import BackFile
from unmask.comparison.pieces import Task
from unmask.comparison.plan import TrialKey
from unmask.config import ClassifyConfig, PretrainConfig
from unmask.data.shared_file import DataFile
from unmask.errors import UserError


@dataclass
class Cluster:
    """A client whose workers keep their files in these folders, and see none of the client's unless they are told."""

    folders: dict[str, Path]
    seeing: Sequence[str] = ()
    asked: list[tuple[str, str]] = field(default_factory=list)
    broken: Callable[[], None] = lambda: None

    def nthreads(self) -> dict[str, int]:
        """One each."""
        return dict.fromkeys(self.folders, 1)

    def run(self, function: Any, *given: Any, workers: Sequence[str], on_error: str) -> dict[str, Any]:
        """What the function returns, or raises, for each worker."""
        answers: dict[str, Any] = {}
        for worker in workers:
            self.asked.append((function.__name__, worker))
            known = given
            if function.__name__ == "arrive" and worker not in self.seeing:
                known = ("/nowhere", *given[1:])
            folder = SimpleNamespace(local_directory=str(self.folders[worker] / worker))
            try:
                if function.__name__ == "append_chunk":
                    self.broken()
                answers[worker] = function(*known, dask_worker=folder)
            except Exception as error:
                answers[worker] = error
        return answers


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The folder of a comparison with a pretraining that was begun, and one that is done."""
    folder = tmp_path / "out"
    for name in ("pretrain/seed_0/encoder.safetensors", "pretrain/seed_1/config.json", "pretrain/seed_1/.cut.tmp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def _data(out: Path) -> DataFile:
    (out / "data").write_bytes(b"0123456789")
    return DataFile(str(out / "data"), 0, hashlib.blake2b(b"0123456789", digest_size=16).hexdigest(), None)


def _do(*_: Any) -> None:
    """What a task would call."""


def test_every_machine_gets_a_file_once(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks, by one of its workers; a machine that comes later gets all that others have; all is deleted."""
    monkeypatch.setattr(far_files, "CHUNK", 4)
    first, second = tmp_path / "first", tmp_path / "second"
    cluster = Cluster({"a": first, "b": first, "seeing": first}, ["seeing"])
    far, data = FarFiles(cluster, out), _data(out)
    far.meet(["a", "b", "seeing"])
    assert [*far.machines.values()] == [["a", "b"]]
    trial: Task = (_do, (ClassifyConfig(init=str(out / "pretrain/seed_0")), out))
    for _ in range(2):
        parcel = far.parcel(trial, data)
    assert parcel is not None
    assert parcel.weights is not None
    assert (parcel.init, parcel.begun) == (str(out / "pretrain/seed_0"), ())
    assert cluster.asked.count(("append_chunk", "a")) == 3 + 9
    assert ("append_chunk", "b") not in cluster.asked
    cluster.folders["late"] = second
    far.meet(["late"])
    for machine in (first, second):
        (box,) = machine.glob("unmask-*")
        assert (box / data.digest).read_bytes() == b"0123456789"
        assert (box / parcel.weights.digest).read_text() == "pretrain/seed_0/encoder.safetensors"
    assert far.notes()[0].startswith(f"2 machines did not see {out}: data (0.0 MiB)")
    begun: Task = (_do, (PretrainConfig(), out / "pretrain/seed_1"))
    again = far.parcel(begun, None)
    assert again is not None
    assert [Path(sent.path).name for sent in again.begun] == ["config.json"]
    far.close()
    assert not list(tmp_path.glob("*/unmask-*"))


def test_workers_that_see_the_folder_get_nothing(out: Path, tmp_path: Path) -> None:
    """No file, no note."""
    cluster = Cluster({"a": tmp_path}, ["a"])
    far = FarFiles(cluster, out)
    far.meet(["a"])
    assert far.parcel((_do, (ClassifyConfig(init=str(out / "pretrain/seed_0")),)), _data(out)) is None
    assert far.notes() == []
    assert {name for name, _ in cluster.asked} == {"arrive"}


def _full() -> None:
    raise OSError(28, "No space left on device")


def test_what_cannot_be_kept(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, a file that arrives changed, one that is too large: one line each. A machine that is gone is
    forgotten."""
    cluster = Cluster({"a": tmp_path / "a"})
    far, data = FarFiles(cluster, out), _data(out)
    far.meet(["a"])
    cluster.broken = _full
    with pytest.raises(UserError, match=r"^a: cannot store the files sent to it \(.*No space left on device\)$"):
        far.parcel((_do, ()), data)
    cluster.broken = lambda: None
    Path(data.path).write_bytes(b"changed")
    with pytest.raises(UserError, match=r"arrived changed"):
        far.parcel((_do, ()), data)
    del cluster.folders["a"]
    far.meet([])
    assert far.machines == {}
    Path(data.path).write_bytes(b"0123456789")
    monkeypatch.setattr(far_files, "MOST", 5)
    cluster.folders["b"] = tmp_path / "b"
    far.meet(["b"])
    with pytest.raises(
        UserError, match=r"would have to be sent to machines that do not see it.*give an `out` on a file system"
    ):
        far.parcel((_do, (ClassifyConfig(init=str(out / "pretrain/seed_0")),)), None)


def test_what_comes_back_is_checked(out: Path, tmp_path: Path) -> None:
    """By digest; the file that means "finished" is written last."""
    far, key = FarFiles(Cluster({}), out), TrialKey(3, 0, "mrp", 0)
    task: Task = (_do, (ClassifyConfig(), key, out, None))
    finished = f"trials/{key.name}.json"
    files = [BackFile(name, b"x", hashlib.blake2b(b"x", digest_size=16).hexdigest()) for name in (finished, "z")]
    with pytest.raises(UserError, match=r"z: arrived changed"):
        far.take(task, [files[0], BackFile("z", b"x", "another")])
    assert not (out / finished).exists()
    far.take(task, files)
    assert (out / finished).read_text() == (out / "z").read_text() == "x"
