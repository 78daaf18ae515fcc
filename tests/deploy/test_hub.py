"""Uploads: what is sent, where to, and what is refused before anything is."""

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.utils import filter_repo_objects

from unmask.deploy.export import export
from unmask.errors import UserError


class _Hub:
    """Stands for huggingface_hub.HfApi; remembers what it was asked."""

    calls: list[tuple[str, dict[str, Any]]]

    def __init__(self, **_: Any) -> None:
        pass

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        """As the hub: an address that knows its repository."""
        if repo_id == "someone/else":
            raise PermissionError("403 Forbidden:\n you may not write there")
        _Hub.calls.append((repo_id, options))
        return SimpleNamespace(repo_id=repo_id)

    def upload_folder(self, **options: Any) -> None:
        """Remember the files that are there to be uploaded, as the hub chooses them."""
        files = sorted(path.name for path in Path(options["folder_path"]).iterdir())
        files = list(filter_repo_objects(files, allow_patterns=options.get("allow_patterns")))
        _Hub.calls.append((options["repo_id"], {"files": files}))


def test_push_to_hub(cnn_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private repository unless asked, the checked files; a refusal is one line and the export stays."""
    _Hub.calls = []
    monkeypatch.setattr("huggingface_hub.HfApi", _Hub)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "token")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (tmp_path / "out").mkdir()
    for name in ("secret.txt", "README.md", "model.safetensors.bak"):
        (tmp_path / "out" / name).write_text("mine")
    export(cnn_run, "safetensors", tmp_path / "out", push_to_hub="me/encoder", overwrite=True)
    assert (tmp_path / "out" / "secret.txt").read_text() == "mine"
    assert _Hub.calls == [
        ("me/encoder", {"private": True, "exist_ok": True}),
        ("me/encoder", {"files": ["README.md", "card.json", "model.safetensors"]}),
    ]
    with pytest.raises(UserError, match=r"someone/else was not uploaded \(PermissionError: 403 Forbidden: you may"):
        export(cnn_run, "safetensors", tmp_path / "two", push_to_hub="someone/else", public=True)
    assert (tmp_path / "two" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("token", "offline", "name", "text"),
    [
        (None, "", "me/encoder", "hf auth login"),
        ("token", "1", "me/encoder", "HF_HUB_OFFLINE"),
        ("token", "", "me/en coder", "is not a repository name"),
    ],
)
def test_what_cannot_be_uploaded_is_said_first(
    token: str | None,
    offline: str,
    name: str,
    text: str,
    cnn_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything is written."""
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(UserError, match=text):
        export(cnn_run, "safetensors", tmp_path / "out", push_to_hub=name)
    assert list(tmp_path.iterdir()) == []
