"""What mkdocs does besides: pages from files that live outside docs/, and links to them that work in both places.

Examples, measured results and the contribution guide are read in the repository as well as on the site; a link in docs/
such as ../examples/x.py is right in the repository and becomes examples/x.md on the site.
"""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
RULES = (
    (re.compile(r"\]\((?:\.\./)?examples/([\w-]+)\.(?:py|ipynb)\)"), r"](examples/\1.md)"),
    (re.compile(r"\]\((?:\.\./)?benchmarks/results/([\w-]+)\.md\)"), r"](results/\1.md)"),
    (re.compile(r"\]\(\.\./CONTRIBUTING\.md\)"), "](contributing.md)"),
    (re.compile(r"\]\(docs/"), "]("),
)


def example_page(path: Path) -> str:
    """A script as a page: its docstring as text would lose its layout, so it stays in the code."""
    if path.suffix == ".py":
        return f"# {path.name}\n\n```python\n{path.read_text(encoding='utf-8')}```\n"
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def reference() -> str:
    """Every command and field, from the code as it is now."""
    spec = importlib.util.spec_from_file_location("reference", Path(__file__).with_name("reference.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.render())


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from other files."""
    pages = {f"examples/{path.stem}.md": example_page(path) for path in sorted(ROOT.glob("examples/*.*"))
             if path.suffix in (".py", ".ipynb")}  # fmt: skip
    pages |= {f"results/{path.name}": path.read_text(encoding="utf-8")
              for path in sorted(ROOT.glob("benchmarks/results/*.md"))}  # fmt: skip
    pages["contributing.md"] = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "reference.md", content=reference()))
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links out of docs/ become links to those pages."""
    for pattern, replacement in RULES:
        markdown = pattern.sub(replacement, markdown)
    return markdown
