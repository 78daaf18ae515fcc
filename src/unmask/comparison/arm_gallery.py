"""The mistakes of a comparison's arms, and a map of images in the best network's features."""

from functools import partial

from unmask.comparison.fitted_encoder import fitted_encoder
from unmask.comparison.plan import TrialKey, all_trials
from unmask.comparison.table import mean_predictions
from unmask.comparison.tasks import Work
from unmask.config import ARMS
from unmask.config.budget import labels_in_words
from unmask.errors import UserError
from unmask.runs.kept import choose_network
from unmask.runs.layout import ENCODER_FILE, GALLERY_FILE, TRIALS
from unmask.runs.summary_records import Summary
from unmask.stages.gallery import Embedded, Predictions, embed_images
from unmask.stages.task_gallery import write_task_gallery
from unmask.training.engine import build_engine
from unmask.weights.network import load_model


def show_work(work: Work, summary: Summary) -> None:
    """Write the gallery of a finished comparison, unless one exists that is newer than every trial."""
    split, task = summary.settings.primary_split, work.data.task
    if task is None or split not in work.data.tests:
        return
    gallery, trials = work.out / GALLERY_FILE, TRIALS.found(work.out)
    if gallery.exists() and all(file.stat().st_mtime <= gallery.stat().st_mtime for file in trials):
        return
    groups: dict[str, list[TrialKey]] = {}
    for key in all_trials(work.config):
        if key.budget == summary.settings.primary_budget:
            groups.setdefault(key.arm, []).append(key)
    members = {arm: keys if task.averages else keys[:1] for arm, keys in groups.items()}
    predictions = (
        (arm, Predictions(mean_predictions(keys, work.out, task, split), len(keys))) for arm, keys in members.items()
    )
    embed = partial(_embedded, work, split)
    write_task_gallery(work.out, work.data, split, predictions, embed=embed, seed=work.config.seed)


def _embedded(work: Work, split: str) -> Embedded | None:
    """Images in the features of the network that `predict` would use or, if none is kept, of a pretrained encoder."""
    try:
        kept = choose_network(work.out)
    except UserError:
        run = next((run for runs in work.encoders.values() for run in runs if (run / ENCODER_FILE).exists()), None)
        if run is None:
            return None
        model, data = fitted_encoder(work.config, run, work.data)
        name, outputs = "a pretrained encoder, before any label", 0
    else:
        found = load_model(kept.file)
        model, data = found.module, work.data.normalized_as(found.card.format)
        name = f"{ARMS[kept.trial.arm].title}, {labels_in_words(kept.trial.budget)}"
        outputs = 0 if found.card.task is None else len(found.card.task.names)
    engine = build_engine("no")
    return embed_images(model.to(engine.device), data.tests[split], engine, outputs=outputs, network=name)
