"""The head of a frozen encoder: trained by steps, or fitted in closed form, whichever validation images prefer."""

from accelerate import Accelerator
from torch import nn

from unmask.config import ClassifyConfig
from unmask.config.metric import SCORES
from unmask.data.imageset import ImageSet
from unmask.encoders.heads import linear_heads, set_head
from unmask.errors import UserError
from unmask.evaluate.probe import Labeled
from unmask.forward import pooled_and_outputs
from unmask.runs.scores import merit_of
from unmask.tasks.kinds import AnyTask


def take_probe_where_better(
    model: nn.Module, task: AnyTask, config: ClassifyConfig, labeled: ImageSet, val: ImageSet, engine: Accelerator
) -> list[str]:
    """Replace the trained head by a linear probe if that scores higher on validation images.

    Steps have one strength of regularization, too little for few labels; a probe's is chosen on validation images.
    Returns a note if it was replaced. A head that is not one linear layer on pooled features stays. All processes call
    it, on a network that is not sharded.

    Args:
        model: the trained network; changed in place.
        labeled: its training images, which the probe sees unaugmented.
        engine: gives device, precision and processes.
    """
    try:
        linear_heads(model)
    except UserError:
        return []
    number = len(task.names)
    known, seen = (pooled_and_outputs(model, images, engine, outputs=number) for images in (labeled, val))
    if known is None or seen is None or not task.can_probe(known.images.labels):
        return []
    truth, features = seen.images.labels, seen.values[:, :-number]
    probe = task.probe(
        Labeled(known.values[:, :-number], known.images.labels),
        features,
        val=Labeled(features, truth),
        metric=config.metric,
        balanced=config.recipe.class_weights == "balanced",
    )
    trained = merit_of(task.scores(task.readout(seen.values[:, -number:]), truth), config.metric)
    if probe.val_merit is None or probe.val_merit <= trained:
        return []
    set_head(model, probe.weight, probe.bias)
    score = SCORES[config.metric]
    found, before = (score.text(score.change(one)) for one in (probe.val_merit, trained))
    named = "" if config.metric == "accuracy" else f"{score.title} "
    return [
        f"the head is that of a linear probe (strength {probe.strength:g}), better on validation images than the one "
        f"trained by steps: {named}{found} against {before}"
    ]
