"""How far each export is from its run, and how long one to ONNX takes: the check that `unmask export` makes itself.

Six encoders from random weights, one step on the digits at 64 x 64 pixels and three channels, each exported in every
form, in a process of its own for each encoder. A difference is the largest of an output on five real images, relative
to the largest output if that is above 1. `refused` is a form that does not take the network. Seconds are wall time,
with the check and without imports; the first graph that is traced also pays for torch's tracer.

    OMP_NUM_THREADS=1 python benchmarks/exports.py [ENCODER]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import unmask

ENCODERS = (
    "resnet18",
    "convnext_atto",
    "vit_tiny_patch16_224",
    "mobilenetv3_small_050",
    "swin_tiny_patch4_window7_224",
    "efficientnet_b0",
)
FORMS = ("timm", "safetensors", "torch-export", "onnx")


def row_of(encoder: str) -> str:
    """A row of the table: the largest difference of each form of one network from the run, and its seconds."""
    cells = [encoder]
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        settings = {"image_size": (64, 64), "channels": 3, "steps": 1, "head_steps": 0}
        unmask.scratch("digits", run, encoder=encoder, progress=False, **settings)
        for form in FORMS:
            started = time.monotonic()
            try:
                found = f"{unmask.export(run, form, Path(name) / form).difference:.0e}"
            except unmask.UserError:
                found = "refused"
            cells.append(f"{found} ({time.monotonic() - started:.1f} s)")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table, or the row of the encoder that is given."""
    if len(sys.argv) > 1:
        print(row_of(sys.argv[1]))
        return
    print(f"| encoder | {' | '.join(FORMS)} |\n|---|{'---|' * len(FORMS)}")
    for encoder in ENCODERS:
        done = subprocess.run([sys.executable, __file__, encoder], capture_output=True, text=True, check=False)
        row = [line for line in done.stdout.splitlines() if line.startswith("| ")]
        print(*(row or [f"| {encoder} | failed: {done.stderr[-200:]} |"]), flush=True)


if __name__ == "__main__":
    main()
