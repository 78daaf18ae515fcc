"""What the pages of the theory state is in the records and in the code: counts, figures, figures' headings."""

import re
from collections import Counter
from pathlib import Path

from scripts import load_script

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "benchmarks" / "results"
theory_mutations = load_script(ROOT / "benchmarks" / "theory_mutations.py")
theory_pictures = load_script(ROOT / "docs" / "tools" / "theory_pictures.py")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def record(name: str) -> str:
    return (RECORDS / name).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a page, as GitHub and MkDocs make them."""
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_counts_of_claims_are_those_of_the_record() -> None:
    rows = re.findall(
        r"^(holds|FAILS|empty|outside) +(identity|law|paper|ours) ", record("theory_verify_paper_small.md"), re.M
    )
    counts = Counter(rows)
    said = f"all {counts['holds', 'identity']} identities, {counts['holds', 'law']} laws, "
    said += f"{counts['holds', 'paper']} claims of the papers and {counts['holds', 'ours']} of ours hold"
    assert said in " ".join(page("theory-for-practitioners.md").split())
    assert {outcome for outcome, _ in rows} == {"holds", "outside"}
    assert sum(outcome == "outside" for outcome, _ in rows) == 1


def test_every_mutation_stands_in_its_record_as_noticed() -> None:
    rows = dict(re.findall(r"^\| (\w+) \| [^|]* \| (.*) \|$", record("theory_mutations.md"), re.M))
    assert "**nothing**" in rows.pop("none")
    assert set(rows) - {"mutation"} == {one.name for one in theory_mutations.MUTATIONS}
    assert [name for name, noticed in rows.items() if "**nothing**" in noticed or not noticed.strip()] == []
    assert f"puts {len(theory_mutations.MUTATIONS)} mistakes into the source" in " ".join(page("theory.md").split())


def test_every_claim_has_a_figure_that_is_drawn_by_the_script() -> None:
    text = page("theory.md")
    table = text[text.index("| statement | where |") : text.index("### Coverage and the lottery")]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 12
    known = anchors(text)
    for row in rows:
        assert all(cell.strip(" |") for cell in row), row
        (target,) = re.findall(r"\]\(#([^)]*)\)", row[4])
        assert target in known, row
        section = next(
            part for part in re.split(r"^(?=#+ )", text, flags=re.M) if anchors(part[: part.find("\n")]) == {target}
        )
        assert "](images/theory-" in section, target
    assert set(re.findall(r"\(images/(theory-[\w-]+\.svg)\)", text)) == set(theory_pictures.FIGURES)
    assert {path.name for path in (ROOT / "docs" / "images").glob("theory-*.svg")} == set(theory_pictures.FIGURES)


def test_findings_have_headings_and_figures_of_their_own() -> None:
    text = page("theory.md")
    for words in ("phases of the mask ratio", "### Binding\n", "Memorized noise", "tiny starts and purity exclude"):
        section = text[text.index(words, text.index("## Findings")) :]
        assert re.search(r"^!\[", section[: section.index("\n### ")], re.M), words


def test_measured_gains_are_those_of_the_bridge() -> None:
    """Every interval of the practitioners' table stands in the record."""
    found = re.findall(r"[+-]\d+ \[[^\]]+\]", page("theory-for-practitioners.md"))
    assert len(found) >= 8
    assert [one for one in found if one not in record("theory_bridge.md")] == []
