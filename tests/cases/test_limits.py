"""Little of a machine, and inputs that would take all of it: one line or bounded memory, never a hang."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from tiny import draw, image_names, load, numbered
from unmask import open_files
from unmask.cli.main import main
from unmask.comparison.workers import run_tasks
from unmask.data import pixels
from unmask.data.check import image_facts
from unmask.data.check.image_facts import look_at
from unmask.data.decoding import pixel_budget
from unmask.data.decoding.pixel_budget import PixelBudget
from unmask.data.headers import Header
from unmask.data.sources.manifest import MOST_ROWS
from unmask.data.threads import mapped
from unmask.errors import UserError


@pytest.mark.case("with 16 or 24 open files a run that streamed hung, after 5 million lines of tracebacks")
def test_too_few_open_files_for_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line before a worker starts, for readers and for trials; without workers nothing is asked."""
    draw(tmp_path / "x", *numbered("a", "b"), size=(8, 8))
    images = load(tmp_path / "x", cache_mib=0, workers=2).readable
    monkeypatch.setattr(open_files, "open_file_limit", lambda: 32)
    line = (
        r"^only 32 files may be open at once, and 2 workers would need \d+: raise it \(ulimit -n 1024\), or give `{}`"
    )
    with pytest.raises(UserError, match=line.format("workers=0")):
        next(images.batches(torch.arange(8), 4))
    with pytest.raises(UserError, match=line.format("jobs=1")):
        list(run_tasks([(print, ()), (print, ())], None, 2))  # type: ignore[arg-type]
    assert len(next(load(tmp_path / "x", cache_mib=0, workers=0).readable.batches(torch.arange(8), 4)).ids) == 4


@pytest.mark.case("a system without a thread to spare, or without memory for torch, ended in a traceback")
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("can't start new thread"), "the system cannot start another thread"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "out of memory (libtorch_cpu.so"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "Resource temporarily unavailable"),
    ],
)
def test_no_thread_and_no_memory(
    error: Exception, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2."""
    draw(tmp_path / "x", "0.png", size=(8, 8))

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(ThreadPoolExecutor, "submit", fails)
    with pytest.raises(SystemExit) as ended:
        main(["data", "check", str(tmp_path / "x"), "--quiet"])
    assert ended.value.code == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert line in told


@pytest.mark.case("a parquet file of a few kilobytes that stands for 10^8 rows took all memory")
def test_rows_are_counted_before_they_are_read(tmp_path: Path) -> None:
    """One line from the file's metadata; columns that are not needed are not read at all."""
    path = pa.DictionaryArray.from_arrays(pa.array(np.zeros(MOST_ROWS + 1, np.int8)), ["x.png"])
    parquet.write_table(pa.table({"path": path}), tmp_path / "many.parquet")
    assert (tmp_path / "many.parquet").stat().st_size < 50_000
    with pytest.raises(UserError, match=r"many\.parquet: lists 10,000,001 images, more than 10,000,000"):
        load(tmp_path / "many.parquet", labels=False)
    draw(tmp_path, "x.png", "y.png", size=(8, 8))
    table = pa.table({"path": ["x.png", "y.png"], "embedding": [[0.5] * 8] * 2})
    parquet.write_table(table, tmp_path / "few.parquet")
    data = load(tmp_path / "few.parquet", labels=False)
    assert len(data.readable) == 2
    assert "1 further column (embedding)" in " ".join(data.notes)


@pytest.mark.case("twenty images of 169 megapixels were decoded eight at a time, 1.3 GB each")
def test_large_images_wait_for_each_other() -> None:
    """Of a budget of 100 pixels: one image of 1,000 at a time, four of 25; all are read."""
    for size, most in ((1000, 1), (25, 4), (60, 1)):
        budget, now, peak, lock = PixelBudget(100), 0, 0, threading.Lock()

        def read(row: int, size: int = size, budget: PixelBudget = budget, lock: threading.Lock = lock) -> int:
            nonlocal now, peak
            with budget.giving_back():
                budget.take(size)
                budget.take(size)  # a file that is read in two ways counts once
                with lock:
                    now, peak = now + 1, max(peak, now + 1)
                time.sleep(0.002)
                with lock:
                    now -= 1
            return row

        assert list(mapped(read, 20)) == list(range(20))
        assert peak == most


def test_every_reader_takes_from_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files into the cache and for a check, by Pillow and by tifffile; and what an error interrupts is given back."""
    import tifffile

    draw(tmp_path / "x", *(f"{i}.png" for i in range(9)), size=(20, 20))
    tifffile.imwrite(tmp_path / "x" / "a.tif", np.zeros((5, 20, 20), np.uint8), planarconfig="separate")
    (tmp_path / "x" / "b.png").write_bytes((tmp_path / "x" / "0.png").read_bytes()[:80])
    taken: list[int] = []

    class Noted(PixelBudget):
        def take(self, pixels: int) -> None:
            super().take(pixels)
            taken.append(self._pixels - self._free)

    budget = Noted(500)
    for module in (pixels, image_facts):
        monkeypatch.setattr(module, "BUDGET", budget)
    monkeypatch.setattr("unmask.data.decoding.decode.BUDGET", budget)
    data = load(tmp_path / "x", labels=False, on_bad_file="skip", channels=5, cache_mib=0)
    assert len(data.bad_files) >= 1
    assert taken
    assert max(taken) <= 500
    assert budget._free == 500
    assert pixel_budget.AT_ONCE >= 2**26


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_facts_are_the_same_piece_by_piece(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an image larger than what is converted at once, with missing pixels and a channel of nothing else."""
    image = (np.random.default_rng(0).random((3, 40, 30)) * 200).astype(dtype)
    if dtype is np.float32:
        image[0, :7], image[2] = np.nan, np.nan
    header = Header((40, 30), 3, "uint8")
    whole = look_at(image, header)
    monkeypatch.setattr(image_facts, "PIECE", 77)
    parts = look_at(image, header)
    assert (parts.digest, parts.counts, parts.low, parts.high) == (whole.digest, whole.counts, whole.low, whole.high)
    assert np.allclose(parts.mean, whole.mean)
    assert np.allclose(parts.square, whole.square)
    top = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    assert whole.high == float(np.nanmax(image)) / top
    assert np.allclose(whole.mean[1], image[1].mean(dtype=np.float64) / top)


def test_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--data .` is that folder, without the runs in it."""
    draw(tmp_path, *numbered("a", "b"), size=(8, 8))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"format": 3, "kind": "pretraining"}')
    draw(tmp_path / "run" / "pictures", "0.png", size=(8, 8))
    monkeypatch.chdir(tmp_path)
    assert image_names(load(Path("."))) == sorted(numbered("a", "b"))
