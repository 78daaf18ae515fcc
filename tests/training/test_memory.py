"""Too little memory is one line that says what to make smaller."""

from functools import partial
from pathlib import Path

import pytest
import torch

import unmask
from unmask.cli.main import main
from unmask.errors import UserError, is_out_of_memory
from unmask.training.step import Step, memory_explained

GPU = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.69 GiB.\n"
    "See documentation for Memory Management"
)

CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"


def test_torchs_own_errors_are_known() -> None:
    """A GPU's, and what torch raises here for 64 TiB; another RuntimeError is none."""
    with pytest.raises(RuntimeError) as real:
        torch.empty(2**44)
    assert all(
        is_out_of_memory(error)
        for error in (real.value, torch.OutOfMemoryError(GPU), MemoryError(), RuntimeError(CUBLAS))
    )
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


@pytest.mark.parametrize(
    ("images", "accumulate", "wanted"),
    [
        (256, 1, "256 images at once: give accumulate = 2 or more (now 1), or a smaller batch_size"),
        (128, 4, "32 images at once: give accumulate = 8 or more (now 4), or a smaller batch_size"),
        (4, 4, "1 image at once: give a smaller image_size or encoder, or precision = bf16"),
    ],
)
def test_what_is_proposed(images: int, accumulate: int, wanted: str) -> None:
    """As many images as a process computed at once, and what is left to make smaller."""
    with pytest.raises(UserError) as found, memory_explained(images, accumulate):
        raise torch.OutOfMemoryError(GPU)
    assert str(found.value) == f"out of memory (CUDA out of memory. Tried to allocate 2.00 GiB) with {wanted}"
    with pytest.raises(RuntimeError, match="shape"), memory_explained(8, 1):
        raise RuntimeError("shape mismatch")


@pytest.mark.parametrize("stage", ["pretrain", "scratch"])
def test_a_command_ends_with_that_line(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, no traceback; the encoder's forward asks for too much."""

    def forward(*given: object) -> None:
        raise torch.OutOfMemoryError(GPU)

    def starve(step: Step) -> None:
        step.network.register_forward_pre_hook(forward)

    monkeypatch.setattr(unmask, stage, partial(getattr(unmask, stage), on_step=starve))
    options = '{"images": 24, "val_images": 9, "test_images": 9, "classes": 3, "size": 16, "part_size": 4}'
    words = (*("--data", "multiview", "--options", options, "--encoder", "patchnet", "--batch-size", "8"), "--quiet")
    with pytest.raises(SystemExit) as left:
        main([stage, *words, "--encoder-options", '{"width": 8, "patch": 4}', "--out", str(tmp_path / "run")])
    assert left.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "with 8 images at once: give accumulate = 2 or more (now 1)" in said[0]
