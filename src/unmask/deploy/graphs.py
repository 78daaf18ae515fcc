"""The network as one graph with a free batch size: ONNX, and torch.export's .pt2."""

import importlib.util
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unmask.config import to_json
from unmask.config.metric import label_form
from unmask.deploy.export_check import UNIT, Reference, require_agreement, takes_any_size
from unmask.deploy.served import Served
from unmask.deploy.trained import Trained
from unmask.errors import UserError
from unmask.tasks.regression import Regression
from unmask.weights.card import Card

ONNX = "model.onnx"
PT2 = "model.pt2"
INPUT = "images"


def output_name(card: Card) -> str:
    """Name of a graph's output."""
    if card.task is None:
        return "features"
    return "numbers" if label_form(card.task.name) == "numbers" else "logits"


def require_onnx() -> None:
    """Raise `UserError` if the packages of the extra `onnx` are missing."""
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"to: onnx needs {', '.join(missing)}: pip install 'unmask[onnx]'")


def write_onnx(trained: Trained, folder: Path, expected: Reference, *, normalized: bool) -> float:
    """Write model.onnx and compare it, run by onnxruntime, at batches of 1, 2 and 5. Returns the largest difference.

    Raises:
        UserError: an operation that ONNX lacks, or a result that differs.
    """
    import onnx
    import onnxruntime

    served, inputs = _served(trained, expected, normalized)
    output = output_name(trained.card)
    with _explained(trained, "ONNX"):
        program: Any = torch.onnx.export(
            served,
            (inputs[:2],),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[output],
            dynamic_shapes=(_free(trained),),
        )
        graph = program.model_proto
    _forget_sources(graph)
    facts = {"unmask": json.dumps(to_json(trained.card)), "inputs": "normalized" if normalized else "stored"}
    onnx.helper.set_model_props(graph, facts)
    onnx.save_model(graph, str(folder / ONNX))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(folder / ONNX), options, providers=["CPUExecutionProvider"])

    def network(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {INPUT: images.numpy()})[0])

    worst = require_agreement(network, inputs, _in_units(trained, expected.outputs), what=ONNX)
    return max([worst, *_at_other_size(trained, network, expected, normalized, ONNX)])


def write_torch_export(trained: Trained, folder: Path, expected: Reference, *, normalized: bool) -> float:
    """Write model.pt2, load it, and compare at batches of 1, 2 and 5. Returns the largest difference.

    Raises:
        UserError: torch.export cannot trace the network, or a result that differs.
    """
    served, inputs = _served(trained, expected, normalized)
    with _explained(trained, "torch.export"):
        program = torch.export.export(served, (inputs[:2],), dynamic_shapes=(_free(trained),))
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # paths of this machine
        torch.export.save(program, folder / PT2)
        loaded = torch.export.load(folder / PT2).module()
    # as users call it: without torch.no_grad
    worst = require_agreement(loaded, inputs, _in_units(trained, expected.outputs), what=PT2)
    return max([worst, *_at_other_size(trained, loaded, expected, normalized, PT2)])


def _at_other_size(
    trained: Trained, network: Callable[[Tensor], Tensor], expected: Reference, normalized: bool, what: str
) -> list[float]:
    """The largest difference on larger images, for a graph that takes any size; nothing for others."""
    if not takes_any_size(trained):
        return []
    larger = expected.enlarged(trained)
    inputs = larger.normalized if normalized else larger.stored
    return [require_agreement(network, inputs, _in_units(trained, larger.outputs), what=what)]


def _free(trained: Trained) -> dict[int, Any]:
    """Which axes of the images are free: the batch and, for a segmenter that takes images of any size, their sides."""
    free: dict[int, Any] = {0: torch.export.Dim("batch")}
    if takes_any_size(trained):
        free |= {
            2: UNIT * torch.export.Dim("rows", min=2, max=256),
            3: UNIT * torch.export.Dim("columns", min=2, max=256),
        }
    return free


def _forget_sources(graph: Any) -> None:
    """Remove from an ONNX model the paths of this machine's files in which its operations are defined."""
    nodes = [*graph.graph.node, *(node for function in graph.functions for node in function.node)]
    for node in nodes:
        node.doc_string = ""
        kept = [(entry.key, entry.value) for entry in node.metadata_props if "stack_trace" not in entry.key]
        del node.metadata_props[:]
        for key, value in kept:
            node.metadata_props.add(key=key, value=value)


def _in_units(trained: Trained, outputs: Tensor) -> Tensor:
    """The run's outputs as a graph returns them: numbers in their own unit."""
    task = trained.card.task
    return task.readout(outputs).float() if isinstance(task, Regression) else outputs


def _served(trained: Trained, expected: Reference, normalized: bool) -> tuple[nn.Module, Tensor]:
    model = trained.model.to(memory_format=torch.contiguous_format)
    # For use, not for training: PatchNet's activation writes in place, which a graph with gradients refuses.
    task = trained.card.task if isinstance(trained.card.task, Regression) else None
    served = Served(model, trained.card.format, normalized=normalized, task=task).eval().requires_grad_(False)
    return served, expected.normalized if normalized else expected.stored


@contextmanager
def _explained(trained: Trained, what: str) -> Iterator[None]:
    """Exporters warn about their own future and fail with many kinds of errors: one line says which network."""
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"to: {trained.card.encoder.encoder} cannot become a graph of {what}: {reason}") from error
