"""What became of an altered file: read right, refused in one line, or neither."""

import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from unmask.data.decoding.decode import quiet
from unmask.errors import UserError

Word = Literal["right", "refused", "wrong", "traceback", "hang"]
LIMIT = 60.0
"""Seconds after which a case hangs."""
LONGEST = 2000
"""Characters of a line."""


def nothing(folder: Path) -> None:
    """No file beside the altered one."""


@dataclass(frozen=True)
class Kind:
    """Files of one kind: how they are altered, who reads them, and what they then hold."""

    name: str
    file: str
    """What the altered file is called, within the folder of the case."""
    contents: Callable[[], SearchStrategy[bytes]]
    """Altered contents of the file."""
    read: Callable[[Path], Any]
    """The package's reading of the file, given its path."""
    is_right: Callable[[Any, bytes], bool]
    """Whether that is what the content says, judged without the package."""
    prepare: Callable[[Path], None] = nothing
    """Writes the files beside it into the folder, before every case."""
    words: Callable[[Path], tuple[str, ...]] | None = None
    """The command that reads the file, given its path."""
    names_file: bool = True
    """Whether a refusal names the file; else its folder."""


@dataclass(frozen=True)
class Verdict:
    """Of one case."""

    word: Word
    why: str = ""


@dataclass
class Tally:
    """Of the cases of a kind."""

    counts: "Counter[Word]" = field(default_factory=Counter)
    failures: list[tuple[Verdict, bytes]] = field(default_factory=list)
    """Verdict and content of each that is neither right nor refused."""

    def add(self, verdict: Verdict, content: bytes) -> None:
        """Count a case."""
        self.counts[verdict.word] += 1
        if verdict.word not in ("right", "refused"):
            self.failures.append((verdict, content))


class Hang(BaseException):
    """A case took too long. No `except Exception` catches it."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def prepared(kind: Kind, content: bytes, folder: Path) -> Path:
    """The altered file, in a folder with those beside it."""
    kind.prepare(folder)
    path = folder / kind.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def judge(kind: Kind, content: bytes, folder: Path) -> Verdict:
    """Write the content, read it, and compare."""
    path = prepared(kind, content, folder)
    try:
        with _limited(LIMIT), quiet():
            value = kind.read(path)
    except Hang:
        return Verdict("hang")
    except UserError as error:
        return _judge_line(str(error), path if kind.names_file else folder)
    except Exception as error:
        return Verdict("traceback", _shown(error))
    with quiet():
        right = kind.is_right(value, content)
    return Verdict("right") if right else Verdict("wrong", f"read as {str(value)[:200]}")


def _judge_line(line: str, path: Path) -> Verdict:
    if len(line.splitlines()) != 1 or len(line) > LONGEST or str(path) not in line:
        return Verdict("wrong", f"not a line that names {path.name}: {line[:300]!r}")
    return Verdict("refused", line)


def _shown(error: Exception) -> str:
    trace, places = error.__traceback__, []
    while trace is not None:
        places.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__}: {str(error)[:200]} [{' '.join(places[-6:])}]"


def draw(kind: Kind, number: int, start: int, see: Callable[[bytes], None]) -> None:
    """Show `number` altered contents of a kind, drawn from the seed `start`."""

    @seed(start)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(content=kind.contents())
    def run(content: bytes) -> None:
        see(content)

    run()


def survey(kind: Kind, number: int, *, start: int = 0, each: Callable[[], None] = lambda: None) -> Tally:
    """Judge `number` altered files of a kind, drawn from the seed `start`; `each` is called before every case."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as name:

        def see(content: bytes) -> None:
            each()
            tally.add(judge(kind, content, Path(name)), content)

        draw(kind, number, start, see)
    return tally
