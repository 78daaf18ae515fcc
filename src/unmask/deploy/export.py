"""Export a run's network to a form that runs without this package; an export that disagrees with the run is deleted."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Literal

from unmask.config.metric import label_form
from unmask.config.validation import require_choice
from unmask.deploy.export_check import reference
from unmask.deploy.formats import FORMATS, Format
from unmask.deploy.graphs import require_onnx, write_onnx, write_torch_export
from unmask.deploy.hub import require_login, upload
from unmask.deploy.modelcard import README, loading, model_card
from unmask.deploy.trained import Trained, read_trained, told
from unmask.deploy.with_timm import require_timm_alone, write_safetensors, write_timm
from unmask.encoders.heads import encoder_of
from unmask.errors import UserError
from unmask.runs.folder import require_writable_folder
from unmask.runs.read import holds_run
from unmask.wording import printable


@dataclass(frozen=True)
class Exported:
    """What `export` wrote: where, the largest difference from the run, how to load it, and its address on the hub."""

    folder: Path
    files: tuple[str, ...]
    difference: float
    code: str
    address: str | None = None
    network: str = ""
    """Which network of a comparison it was."""

    def __str__(self) -> str:
        where = f"\nuploaded to {self.address}" if self.address else ""
        written = f"{printable(self.folder)}: {', '.join(self.files)}"
        checked = f"checked on real images, within {self.difference:.1g} of the run"
        return f"{written}; {checked}{told(self.network)}{where}\n\n{self.code}"


def export(
    run: str | PathLike[str],
    to: Format,
    out: str | PathLike[str] | None = None,
    *,
    arm: str | None = None,
    inputs: Literal["stored", "normalized"] = "stored",
    data: str | PathLike[str] | None = None,
    license: str | None = None,
    push_to_hub: str | None = None,
    public: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write the network of a run, its input's settings and a model card, and check them against the run.

    Args:
        run: folder of pretrain, finetune, scratch or compare.
        to: timm, safetensors, onnx or torch-export.
        out: folder. Default: export-FORMAT in the run folder.
        arm: for a comparison: the arm whose network is exported. Default: the recommended one.
        inputs: for graphs. stored: pixel values as in files; normalized: what the encoder sees.
        data: images for the check. Default: the run's own.
        license: of the weights, for the model card: an identifier such as apache-2.0.
        push_to_hub: repository to upload to.
        public: whether a repository that is created is public.
        overwrite: replace the files of an earlier export; other files in the folder stay.

    Raises:
        UserError: bad input, a network that has no such form, or a result that differs from the run. The folder is
            untouched then.
    """
    require_choice("to", to, FORMATS)
    require_choice("inputs", inputs, ("stored", "normalized"))
    if license is not None and not re.fullmatch(r"[a-zA-Z][\w.+-]*", license, re.ASCII):
        raise UserError(f"license: {license!r} is not an identifier such as apache-2.0, cc-by-4.0 or other")
    run = Path(run)
    out = run / _in_run(to) if out is None else Path(out)
    _require_room(out, to, overwrite=overwrite)
    if to == "onnx":
        require_onnx()
    if push_to_hub is not None:
        require_login(push_to_hub)
    trained = read_trained(run, arm)
    trained = _encoder_alone(trained) if to in ("timm", "safetensors") else trained
    if to == "timm":
        require_timm_alone(trained.card)
    normalized = inputs == "normalized"
    with _filled(out) as folder:
        difference = _write(trained, to, folder, None if data is None else fspath(data), normalized=normalized)
        text = model_card(trained, to, normalized=normalized, license=license, difference=difference)
        (folder / README).write_text(text, encoding="utf-8")
        files = sorted(file.name for file in folder.iterdir())
    address = upload(out, files, push_to_hub, public=public) if push_to_hub is not None else None
    return Exported(
        out, tuple(files), difference, loading(trained, to, normalized=normalized), address, trained.network
    )


def _require_room(out: Path, to: Format, *, overwrite: bool) -> None:
    if holds_run(out):
        raise UserError(
            f"out: {out} is the folder of a run, whose files stay; give another, such as {out / _in_run(to)}"
        )
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not overwrite)):
        raise UserError(
            f"out: {out} is {'not empty; `overwrite=True` replaces it' if out.is_dir() else 'not a folder'}"
        )
    require_writable_folder(out)
    require_writable_folder(out.parent)


def _in_run(to: Format) -> str:
    """The default folder, relative to the run's."""
    return f"export-{to}"


@contextmanager
def _filled(out: Path) -> Iterator[Path]:
    """Yield a folder whose files move to `out` at the end of the body; `out` is untouched if that fails."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as name:
        yield Path(name)
        out.mkdir(exist_ok=True)
        for file in Path(name).iterdir():
            file.replace(out / file.name)


def _encoder_alone(trained: Trained) -> Trained:
    """The encoder of a segmenter, which other programs know; other networks unchanged."""
    if trained.card.task is None or label_form(trained.card.task.name) != "mask":
        return trained
    origin = f"of a segmentation network, whose decoder is left out and whose scores are given below, {trained.origin}"
    return replace(trained, model=encoder_of(trained.model), card=replace(trained.card, task=None), origin=origin)


def _write(trained: Trained, to: Format, folder: Path, data: str | None, *, normalized: bool) -> float:
    """Write in one form and return the largest difference from the run."""
    expected = reference(trained, data)
    if to == "timm":
        return write_timm(trained, folder, expected)
    if to == "safetensors":
        return write_safetensors(trained, folder, expected)
    if to == "onnx":
        return write_onnx(trained, folder, expected, normalized=normalized)
    return write_torch_export(trained, folder, expected, normalized=normalized)
