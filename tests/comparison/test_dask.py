"""A comparison on a Dask cluster: the same table, whatever happens to workers and scheduler."""

import errno
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

import tiny
from unmask.comparison.dask_workers import open_dask
from unmask.comparison.run import compare
from unmask.comparison.tasks import Work, run_pretraining
from unmask.config import ClassifyRecipe, CompareConfig, OptimizerConfig, PretrainConfig
from unmask.config.cluster import ClusterConfig
from unmask.errors import UserError
from unmask.preemption import request_stop
from unmask.runs.lock import holding
from unmask.runs.read import read_config
from warm_dask import address_here, kill_one, on, one_worker, two_workers, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask's own about ports, and sockets that it closes late

RECIPE = ClassifyRecipe(optimizer=OptimizerConfig(steps=3, batch_size=8, lr=3e-3), head_steps=1)
CONFIG = tiny.comparison(
    finetune=RECIPE,
    pretrainings=2,
    arms=("mrp", "scratch_same", "probe_mrp"),
    jobs=1,
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A scheduler and two worker processes of one thread on this machine."""
    with two_workers(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The comparison in this process."""
    return compare(CONFIG, tmp_path_factory.mktemp("local") / "here", progress=False)


def compare_on(cluster: Any, out: Path, **how: Any) -> Path:
    """The same comparison on the workers of a cluster."""
    return compare(replace(CONFIG, jobs=None, cluster=on(cluster)), out, progress=False, **how)


def table(out: Path) -> dict[str, Any]:
    """What a comparison has found, without seconds."""
    files = {path.relative_to(out).as_posix(): path for kind in ("trials", "tuning") for path in (out / kind).iterdir()}
    found: dict[str, Any] = {}
    for name, path in files.items():
        found[name] = path.read_bytes()
        if path.suffix == ".json":
            found[name] = {key: value for key, value in json.loads(path.read_text()).items() if key != "seconds"}
    found["encoders"] = [path.read_bytes() for path in sorted(out.glob("**/encoder.safetensors"))]
    return found


@pytest.mark.slow
def test_the_table_of_two_workers_is_the_local_one(cluster: Any, here: Path, tmp_path: Path) -> None:
    """Bit for bit, outputs and encoders included; nothing else lies in the folder afterwards; a second time nothing is
    trained. While a client holds the folder another one is refused."""
    there = compare_on(cluster, tmp_path / "there")
    assert table(there) == table(here)
    assert len(table(here)["encoders"]) == 2
    assert {path.name for path in here.iterdir()} == {path.name for path in there.iterdir()}
    before = {path: path.stat().st_mtime_ns for path in there.glob("trials/*")}
    with holding(there), pytest.raises(UserError, match="another command is running in this folder"):
        compare_on(cluster, there, resume=True)
    compare_on(cluster, there, resume=True)
    assert {path: path.stat().st_mtime_ns for path in there.glob("trials/*")} == before


def in_the_middle(out: Path, act: Callable[[], Any]) -> None:
    """Do something, in a thread, as soon as a comparison has finished a tuning trial."""

    def watch() -> None:
        wait_for(lambda: any(out.glob("tuning/*.json")))
        act()

    threading.Thread(target=watch, daemon=True).start()


@pytest.mark.slow
def test_a_worker_killed_in_the_middle(cluster: Any, here: Path, tmp_path: Path) -> None:
    """Its piece is done by another process, the table is the same, and no half of a file that it wrote is left."""
    killed, there = list[int](), tmp_path / "there"

    def kill() -> None:
        killed.append(kill_one(cluster))
        (there / "tuning" / ".mrp.json.1.tmp").touch()

    in_the_middle(there, kill)
    assert table(compare_on(cluster, there)) == table(here)
    assert len(killed) == 1


@pytest.mark.slow
def test_a_scheduler_killed_in_the_middle(
    cluster: Any, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says so; with `resume`, on another scheduler, what is missing is trained and the table is the same."""
    monkeypatch.setattr("unmask.comparison.dask_workers._CONNECT", 1.0)
    there = tmp_path / "there"
    with one_worker(tmp_path) as processes:
        in_the_middle(there, processes.scheduler.kill)
        with pytest.raises(UserError, match=r"connection to the scheduler was lost.*kept.*resume=True"):
            compare_on(processes, there)
    done = {path: path.stat().st_mtime_ns for path in there.glob("tuning/*")}
    assert done
    assert not (there / "summary.json").exists()
    assert table(compare_on(cluster, there, resume=True)) == table(here)
    assert done.items() <= {path: path.stat().st_mtime_ns for path in there.glob("tuning/*")}.items()


_REPLACE = Path.replace


def _fill_disk(name: str) -> None:
    """In this process no room is left for files of this name; "" for room enough."""

    def replace_if_room(self: Path, target: Any) -> Path:
        if name and Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return _REPLACE(self, target)

    Path.replace = replace_if_room  # type: ignore[method-assign]


@pytest.mark.slow
def test_full_disks(cluster: Any, here: Path, tmp_path: Path) -> None:
    """Full on both workers for one trial: one line has its name and a worker's words, all others are finished. With
    room on one of them, `resume` trains that one, wherever it is begun, and the table is the same."""
    lost = sorted(path.name for path in here.glob("trials/*.json"))[-1]
    there = tmp_path / "there"
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        client.run(_fill_disk, lost)
        with pytest.raises(UserError) as told:
            compare_on(cluster, there)
        client.run(_fill_disk, "", workers=[next(iter(client.nthreads()))])
        said = f"3 times each: trial {Path(lost).stem} ({socket.gethostname()}: "
        assert said in str(told.value)
        assert "No space left on device); the rest is finished; what was finished is kept" in str(told.value)
        assert "\n" not in str(told.value)
        others = {path.name for path in here.glob("trials/*.json")} - {lost}
        assert {path.name for path in there.glob("trials/*.json")} == others
        assert table(compare_on(cluster, there, resume=True)) == table(here)
        client.run(_fill_disk, "")


def _stop_once(config: PretrainConfig, folder: Path, data: Any) -> None:
    """A pretraining whose worker leaves after three steps."""
    begun = folder.exists()
    run_pretraining(config, folder, data, on_step=lambda at: request_stop() if at.step == 3 and not begun else None)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="no path that is another one in every process")
def test_workers_that_do_not_see_the_folder(
    cluster: Any, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They get data and encoders, and send back what they did, to the bit; so does one that leaves in the middle of a
    pretraining, which goes on. What was sent is deleted."""
    (tmp_path / "far").mkdir()
    monkeypatch.chdir(tmp_path)
    config, out = read_config(here), Path("/proc/self/cwd/far")
    assert isinstance(config, CompareConfig)
    work = Work(config, out, DATA, pretrains_in_workers=True)
    first, *others = work.pretrainings()
    tasks = [(_stop_once, first[1]), *others, *work.sure_trials(pretrained=True)]
    assert len(tasks) > 4
    scratch = Path(next(iter(cluster.workers.values())).local_directory)
    with open_dask(cluster.scheduler_address, out) as place:
        assert len(list(place.run(tasks, DATA))) == len(tasks)
        assert "1 machine did not see /proc/self/cwd/far" in place.notes()[-1]
        assert list(scratch.rglob("unmask-*"))
    assert not list(scratch.rglob("unmask-*"))
    made = [path.relative_to("far") for path in sorted(Path("far").rglob("*")) if path.is_file()]
    assert len([path for path in made if path.name == "encoder.safetensors"]) == 2
    for path in made:
        if path.name == "config.json":
            assert read_config(Path("far", path).parent) == read_config((here / path).parent)
        if path.suffix == ".safetensors" and path.parent.name != "checkpoints":
            assert Path("far", path).read_bytes() == (here / path).read_bytes(), path


def _write(file: Path, data: Any) -> None:
    file.write_text(str(len(data.readable)))


def _fail(counts: Path, data: Any) -> None:
    (counts / f"{time.monotonic_ns()}").write_text(address_here())
    raise ValueError("no\nluck")


def _die_once(mark: Path, data: Any) -> None:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def place(cluster: Any, out: Path) -> Any:
    """The workers of a cluster, for a folder that exists."""
    out.mkdir(exist_ok=True)
    return open_dask(cluster.scheduler_address, out)


DATA = tiny.load_data(tiny.DATA, labels=True, progress=False)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="no path that is another one in every process")
def test_streamed_images(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not sent: workers that do not see them are one line, before any piece. Those that see them, and not the
    folder, do the work."""
    images = tiny.draw(tmp_path / "images", *tiny.numbered("a", "b"))
    monkeypatch.chdir(tmp_path)
    unseen, seen = (tiny.load(path, cache_mib=0, workers=0) for path in (Path("/proc/self/cwd/images"), images))
    tasks = [(_write, (tmp_path / "written",))]
    with place(cluster, tmp_path / "out") as there, pytest.raises(UserError) as told:
        list(there.run(tasks, unseen))
    assert not (tmp_path / "written").exists()
    assert f"({socket.gethostname()}) data: the images that this worker reads are not those" in str(told.value)
    assert str(told.value).endswith("give a path that all machines have, or cache them")
    with place(cluster, Path("/proc/self/cwd/far")) as there:
        list(there.run(tasks, seen))
    assert (tmp_path / "written").read_text() == str(len(seen.readable))


@pytest.mark.slow
def test_pieces_that_always_fail(cluster: Any, tmp_path: Path) -> None:
    """Each is begun three times, on both workers, the others are done, and one line has the workers' messages."""
    counts = [tmp_path / f"counts_{i}" for i in range(4)]
    for folder in counts:
        folder.mkdir()
    tasks = [*((_fail, (folder,)) for folder in counts), *((_write, (tmp_path / str(i),)) for i in range(4))]
    with place(cluster, tmp_path / "out") as there, pytest.raises(UserError) as told:
        list(there.run(tasks, DATA))
    tried = [[path.read_text() for path in folder.iterdir()] for folder in counts]
    assert [len(workers) for workers in tried] == [3] * 4
    assert [len(set(workers)) for workers in tried] == [2] * 4
    assert [(tmp_path / str(i)).read_text() for i in range(4)] == ["120"] * 4
    assert str(told.value).count(f"{socket.gethostname()}: no)") == 3
    assert str(told.value).endswith("; 1 other piece; the rest is finished")
    assert "\n" not in str(told.value)


def _host_of(name: str, data: Any) -> tuple[str, int]:
    return address_here(), len(data.readable)


@pytest.mark.slow
def test_what_is_tried_out_before(cluster: Any, tmp_path: Path) -> None:
    """On a worker, with the data; nothing is left, and the folder need not be there."""
    with open_dask(cluster.scheduler_address, tmp_path / "not" / "there") as there:
        address, images = there.try_out((_host_of, ("name",)), DATA)
        assert address in there.roster.here
        assert images == len(DATA.readable)
        assert list(tmp_path.iterdir()) == []
        assert there.file is None


@pytest.mark.slow
def test_a_killed_worker(cluster: Any, tmp_path: Path) -> None:
    """Its piece is done by another process, and nobody is told; results come with the indices of their pieces."""
    with place(cluster, tmp_path / "out") as there:
        tasks = [(_die_once, (tmp_path / "mark",)), (_double, (2,)), (_double, (3,))]
        assert sorted(there.run(tasks)) == [(0, None), (1, 4), (2, 6)]
    assert (tmp_path / "mark").exists()


def _double(number: int, data: Any) -> int:
    return 2 * number


def test_what_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A scheduler that is not there, or an address that is none: one line each, before anything is read."""
    monkeypatch.setattr("unmask.comparison.dask_workers._CONNECT", 0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"tcp://127.0.0.1:{port}", "nowhere://1"):
        config = replace(CONFIG, cluster=ClusterConfig(on=f"dask:{address}"))
        with pytest.raises(UserError, match=r"no Dask scheduler answers there"):
            compare(config, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_empty_pieces_cost_little(cluster: Any, tmp_path: Path) -> None:
    """At most 50 ms each of this process, client and scheduler together: a thousand take less than a minute
    (benchmarks/cluster_overhead.py)."""
    with place(cluster, tmp_path / "out") as there:
        began = time.process_time()
        assert len(list(there.run([(_nothing, ())] * 200, DATA))) == 200
        assert time.process_time() - began < 200 * 0.05


def _nothing(data: Any) -> None:
    """An empty piece."""
