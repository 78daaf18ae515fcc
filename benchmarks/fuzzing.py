"""Claim: whatever is altered in a file that the package reads, it is read as it then is, or refused in one line.

Files of every kind (run files, manifests, arrays, images, shards, checkpoints, weights) are altered at random: bits
flipped, pieces cut, zeroed, doubled or replaced, headers and JSON changed to other values, checksums made right again.
The package's reader of that kind reads each in this process; its result is checked against the bytes themselves or
against another program's reading. tests/fuzz/ defines how files are altered and judged, and tests run a tenth of it.

right: the value is what the altered file says. refused: an error of one line that names the file. wrong: another value,
or another line. A case hangs after 60 seconds. Some files of each kind also go through the command that reads them.

    python benchmarks/fuzzing.py --number 200 --commands 2

Prints a line per kind and one for all; exits 1 if anything is wrong, a traceback or hangs, or if no case of a kind is
read right.
"""

import argparse
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fuzz.judge import LIMIT, Kind, Tally, Verdict, draw, prepared, survey  # noqa: E402
from fuzz.kinds import KINDS  # noqa: E402

BAD = ("wrong", "traceback", "hang")
RESULTS = ROOT / "benchmarks" / "results" / "fuzzing.md"


def survey_apart(kind: Kind, number: int, seed: int) -> Tally:
    """Run `survey` in its own process: one that dies, or that no alarm wakes, is a case as well."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    began = context.Value("d", time.monotonic())

    def work() -> None:
        def each() -> None:
            began.value = time.monotonic()

        theirs.send(survey(kind, number, start=seed, each=each))

    process = context.Process(target=work)
    process.start()
    theirs.close()
    while not ours.poll(1) and process.is_alive() and time.monotonic() - began.value < LIMIT + 30:
        pass
    if ours.poll():
        try:
            tally = ours.recv()
            process.join()
            return tally  # type: ignore[no-any-return]
        except EOFError:
            process.join()
    hangs = process.is_alive()
    process.kill()
    process.join()
    found = Tally()
    found.add(Verdict("hang") if hangs else Verdict("traceback", f"the process ended with {process.exitcode}"), b"")
    return found


def run_command(kind: Kind, content: bytes) -> Verdict:
    """Run a case through the whole command."""
    assert kind.words is not None
    with tempfile.TemporaryDirectory() as name:
        path = prepared(kind, content, Path(name))
        command = [sys.executable, "-m", "unmask", *kind.words(path)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, cwd=name, env=environment)
        except subprocess.TimeoutExpired:
            return Verdict("hang", " ".join(command))
    if "Traceback" in done.stderr or done.returncode not in (0, 1, 2):
        return Verdict("traceback", f"exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return Verdict("refused" if done.returncode else "right")


def commands_of(kind: Kind, number: int, seed: int) -> Tally:
    """Run the first files of another survey through the command."""
    contents: list[bytes] = []
    found = Tally()
    if kind.words is None:
        return found
    draw(kind, number, seed + 1, contents.append)
    for content in contents[:number]:
        found.add(run_command(kind, content), content)
    return found


def line(name: str, counts: "Counter[Any]") -> str:
    """The counts of a kind."""
    parts = [f"read right {counts['right']}", f"refused in one line {counts['refused']}"]
    return f"{name}: {counts.total()} cases, {', '.join([*parts, *(f'{word} {counts[word]}' for word in BAD)])}"


def row(name: str, counts: "Counter[Any]", commands: "Counter[Any]") -> str:
    """The same as a row of a table."""
    numbers = [counts.total(), counts["right"], counts["refused"], *(counts[word] for word in BAD)]
    bad = sum(commands[word] for word in BAD)
    return f"| {name} | {' | '.join(map(str, numbers))} | {commands.total()} | {bad} |"


def processor() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((one.partition(":")[2].strip() for one in lines if one.startswith("model name")), platform.processor())


def write_results(rows: list[str], last: str, seconds: float, words: str) -> None:
    """Write benchmarks/results/fuzzing.md."""
    RESULTS.write_text(
        f"""# Campaign of altered files

{datetime.now(UTC):%Y-%m-%d}, {platform.machine()} ({processor()}, {os.cpu_count()} cores), Python \
{platform.python_version()}, {seconds:.0f} seconds. Command: `OMP_NUM_THREADS=1 python benchmarks/fuzzing.py {words}`

**{last}**

The top of the script and `tests/fuzz/` define what is altered, and what counts as right. The last two columns
are cases that went through the whole command, and how many of them ended in a traceback or hung.

| kind | cases | read right | refused in one line | wrong | tracebacks | hangs | by command | of them bad |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}
""",
        encoding="utf-8",
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=200, help="cases per kind")
    parser.add_argument("--commands", type=int, default=1, help="cases per kind that go through the whole command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=[""], help="parts of the names of kinds; default: all")
    parser.add_argument("--keep", type=Path, help="folder for the files that were not read well")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/fuzzing.md")
    asked = parser.parse_args()
    began, sums, rows, never = time.monotonic(), Counter[Any](), [], []
    for kind in (kind for kind in KINDS if any(part in kind.name for part in asked.kinds)):
        tally = survey_apart(kind, asked.number, asked.seed)
        commands = commands_of(kind, asked.commands, asked.seed)
        print(line(kind.name, tally.counts) + f"; by command {dict(commands.counts)}", flush=True)
        for number, (verdict, content) in enumerate([*tally.failures, *commands.failures]):
            print(f"    {verdict.word}: {verdict.why}")
            if asked.keep is not None:
                place = asked.keep / f"{kind.name.replace('/', ' ')} {number}"
                place.mkdir(parents=True, exist_ok=True)
                (place / Path(kind.file).name).write_bytes(content)
        sums += tally.counts + commands.counts
        never += [] if tally.counts["right"] else [kind.name]
        rows.append(row(kind.name, tally.counts, commands.counts))
    seconds = time.monotonic() - began
    last = line(f"{len(rows)} kinds", sums)
    print(f"{last}; {seconds:.0f} s on {os.cpu_count()} cores ({processor()})")
    if asked.write:
        write_results(rows, last, seconds, " ".join(word for word in sys.argv[1:] if word != "--write"))
    if never:
        print(f"never read right, so that nothing was judged: {', '.join(never)}")
    return 1 if never or any(sums[word] for word in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
