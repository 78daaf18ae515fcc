"""What the pages state about figures and messages is true of the records and of the code."""

import ast
import re
from pathlib import Path

import pytest
from blocks import ROOT, pages
from reference import arm_table, summary_table

from unmask.cli.flags import with_flags
from unmask.cli.main import all_flags

QUOTED = re.compile(r"`([^`]*[a-z]{3,} [^`]*)`")


def _records() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks/results").glob("*.md"))


def test_figures_of_the_recipes_stand_in_a_record() -> None:
    """Every number with a decimal point, and every interval, in the tables of docs/recipes.md."""
    page = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|") and "`" not in line]
    figures = {figure for row in rows for figure in re.findall(r"\d+\.\d+(?: \[[^\]]+\](?!\())?", row)}
    assert len(figures) > 15
    records = _records()
    assert not {figure for figure in figures if figure not in records}


def test_linked_records_exist() -> None:
    """A figure's source is there, on every page that names one."""
    linked = {
        (page.parent / target).resolve()
        for page in pages()
        for target in re.findall(r"\]\(((?:\.\./)?benchmarks/results/[^)#]+)", page.read_text(encoding="utf-8"))
    }
    assert len(linked) > 3
    assert [target for target in linked if not target.is_file()] == []


def _texts() -> str:
    """All text that the package can say, joined; what a format string fills in becomes one sign."""
    parts = []
    for path in sorted((ROOT / "src/unmask").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                pieces = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
                parts.append("".join(str(piece) for piece in pieces))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts.append(node.value)
    return with_flags("\n".join(parts), all_flags())


def messages(page: Path) -> list[str]:
    """The quoted messages of the troubleshooting tables: third column."""
    rows = [line.split(" | ") for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [quoted for row in rows if len(row) == 4 for quoted in QUOTED.findall(row[2])]


def test_messages_are_those_of_the_code() -> None:
    """Every fragment between the signs … of a quoted message stands in the code."""
    said = _texts()
    quoted = messages(ROOT / "docs/troubleshooting.md")
    assert len(quoted) > 40
    fragments = {part.strip(): message for message in quoted for part in re.split("…|\\d+", message) if part.strip()}
    assert not {fragment: message for fragment, message in fragments.items() if fragment not in said}


@pytest.mark.slow
def test_only_the_command_line_speaks_of_flags() -> None:
    """Below it messages name fields between backticks: one place turns them into flags."""
    foreign = ("--use_fsdp", "--fsdp_version", "--multi_gpu", "--untracked-files", "--porcelain", "--error-unmatch")
    foreign += ("--nthreads", "--nworkers", "--lifetime", "--gres", "--standalone", "--nproc-per-node")
    found = {}
    for path in sorted((ROOT / "src/unmask").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        said = " ".join(str(node.value) for node in texts if id(node) not in docs)
        flags = [flag for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", said) if flag not in foreign]
        if flags and path.parent.name != "cli":
            found[str(path)] = flags
    assert not found


def test_the_table_of_arms_is_that_of_the_code() -> None:
    """Every arm with its meaning and what it controls for; `arm_table` of docs/tools/reference.py makes it."""
    assert arm_table() in (ROOT / "docs/comparison.md").read_text(encoding="utf-8")


def test_the_table_of_the_summary_is_that_of_its_records() -> None:
    """Every key of summary.json, its fields and their meaning; `summary_table` of docs/tools/reference.py makes it."""
    assert summary_table() in (ROOT / "docs/comparison.md").read_text(encoding="utf-8")


PACKAGE = ROOT / "src/unmask"


def _map_lines() -> list[tuple[str, list[str]]]:
    """Lines of the tree in docs/architecture.md: the room they stand in, "" for its own line, and their names."""
    lines, room = [], ""
    for line in (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("```")[1].splitlines():
        if found := re.match(r"^( {2})?((?:\w+(?:/|\.py)(?:, )?)+)", line):
            names = found[2].removesuffix(", ").split(", ")
            lines.append((room if found[1] else "", names))
            room = room if found[1] else names[-1]
    return lines


def test_the_map_of_the_code_names_what_is_there() -> None:
    """Every file and folder in docs/architecture.md exists; every room of the package stands in its tree."""
    text, lines = (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), _map_lines()
    named = [PACKAGE / path for path in re.findall(r"`((?:\w+/)*\w+(?:\.py|/))`", text)]
    named += [PACKAGE / room / name for room, names in lines for name in names]
    missing = [str(path) for path in named if not path.exists() and not (ROOT / path.relative_to(PACKAGE)).exists()]
    assert len(named) > 70
    assert missing == []
    here = {path.name + ("/" if path.is_dir() else "") for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    small = {"__init__.py", "__main__.py", "__pycache__/", "py.typed"}
    assert here - {name for room, names in lines for name in names if not room} - small == set()


def test_the_map_of_the_code_names_the_houses_and_what_a_comparison_is_made_of() -> None:
    """Each package within a room stands below it; each file of the largest room without houses is named somewhere."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = {(room, name) for room, names in _map_lines() for name in names}
    houses = {(f"{path.parent.parent.name}/", f"{path.parent.name}/") for path in PACKAGE.glob("*/*/__init__.py")}
    assert len(houses) > 7
    assert houses - named == set()
    files = {path.name for path in (PACKAGE / "comparison").glob("*.py")} - {"__init__.py"}
    assert {file for file in files if not re.search(rf"\b{re.escape(file)}\b", text)} == set()


def test_every_file_named_in_the_map_is_somewhere() -> None:
    """Also one that a line names in passing."""
    there = [f"/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.rglob("*.py")]
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    mentioned = set(re.findall(r"(?<![\w/*])(?:\w+/)*\w+\.py\b", text))
    assert len(mentioned) > 100
    assert {one for one in mentioned if not any(path.endswith(f"/{one}") for path in there)} == set()


def test_no_import_points_upwards_in_the_map() -> None:
    """What docs/architecture.md says of its tree."""
    rank = {name: i for i, (room, names) in enumerate(_map_lines()) for name in names if not room}
    upwards = set()
    for path in PACKAGE.rglob("*.py"):
        here = path.relative_to(PACKAGE).parts[0]
        here += "/" if (PACKAGE / here).is_dir() else ""
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("unmask."):
                continue
            there = str(node.module).split(".")[1]
            there += "/" if (PACKAGE / there).is_dir() else ".py"
            if rank.get(there, len(rank) ** 2) < rank.get(here, -1):
                upwards.add((here, there))
    assert len(rank) > 25
    assert upwards == set()


@pytest.mark.parametrize(
    ("sign", "most"),
    [
        (r'"scratch_compute"', 2),  # an arm
        (r'"regression"', 8),  # a task
        (r"from unmask\.encoders\.hiera|class HieraEncoder", 2),  # an encoder family
    ],
)
def test_few_files_name_one_of_a_kind(sign: str, most: int) -> None:
    """What docs/architecture.md says of adding an arm, a task or an encoder family."""
    files = [file for file in (ROOT / "src").rglob("*.py") if re.search(sign, file.read_text(encoding="utf-8"))]
    assert 0 < len(files) <= most
