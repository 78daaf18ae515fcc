"""What every run does first: check the folder, load the data, check that processes agree, claim the folder."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from tqdm import tqdm

from unmask.config import AuditRun, ClassifyConfig, CompareConfig, PretrainConfig
from unmask.config.for_task import for_task
from unmask.config.metric import label_form
from unmask.data.load import Dataset, load_data, name_given
from unmask.data.sources.read import absolute_name
from unmask.data.sources.torch_dataset import Given
from unmask.distributed import fail_together, is_main, on_main, require_alike
from unmask.errors import UserError
from unmask.main_guard import require_main_guard
from unmask.runs.environment import changed_versions
from unmask.runs.folder import check_folder, claim_folder, require_same_data
from unmask.runs.layout import ENCODER_FILE, RESULT_FILE, kind_of_config
from unmask.runs.lock import holding, remove_cut_off
from unmask.runs.read import is_run, read_config
from unmask.training.checkpoint import is_whole
from unmask.training.launch import peers_may_end
from unmask.wording import printable

_EFFECT = CompareConfig.smallest_effect
C = TypeVar("C", PretrainConfig, ClassifyConfig, CompareConfig)


@dataclass(frozen=True)
class OpenRun(Generic[C]):
    """A run whose data are loaded. Its folder is untouched until it is claimed."""

    config: C
    """As config.json will hold it: with the absolute path of the data, or the name of what was handed over."""
    out: Path
    data: Dataset
    resume: bool
    overwrite: bool
    held: ExitStack
    """Closed with the run: until then the claimed folder belongs to this command."""
    show: bool
    """Show notes and progress."""

    @property
    def is_finished(self) -> bool:
        """Whether a training has written all its files; the same in every process."""

        wanted = {ENCODER_FILE, RESULT_FILE} & set(kind_of_config(self.config).files)
        return on_main(lambda: all((self.out / name).exists() for name in wanted) and is_whole(self.out / ENCODER_FILE))

    def tell(self, notes: Sequence[str]) -> None:
        """Print notes to standard error if requested."""
        _tell([f"note: {note}" for note in notes], show=self.show)

    def claim(self, before: "BeforeWork[C] | None" = None) -> bool:
        """Prepare the folder. Returns whether an earlier run is continued.

        First `before` is called, which may raise; without it the recipe is reported.

        Raises:
            UserError: see `claim_folder`; another command is running in the folder; or the data set is not the one the
                run started with.
        """

        def claim() -> bool:
            self.out.mkdir(parents=True, exist_ok=True)
            self.held.enter_context(holding(self.out))
            resumed = claim_folder(self.out, self.config, resume=self.resume, overwrite=self.overwrite)
            if resumed:
                remove_cut_off(self.out)
                self.tell(require_same_data(self.out, self.config, self.data.fingerprint))
            return resumed

        choice = self.config.chosen
        if before is not None:
            before(self.config, self.data)
        elif choice is not None and not isinstance(self.config, CompareConfig):  # whose plan reports it
            _tell([f"recipe {choice.recipe_name}: {choice.because}"], show=self.show)
        return on_main(claim)


BeforeWork = Callable[[C, Dataset], None]
"""Called with the configuration and the data of a valid run, before its folder is touched."""


@contextmanager
def open_run(
    config: C,
    out: Path,
    dataset: Dataset | Given | None,
    *,
    labels: bool,
    resume: bool,
    overwrite: bool,
    progress: bool,
) -> Iterator[OpenRun[C]]:
    """Open a run. In the body, check what can be wrong; then `claim` the folder and start the work.

    Args:
        dataset: used instead of what `config.data` names; see `unmask.pretrain`.
        labels: whether class labels are needed.
        resume: whether an earlier run there may be continued.
        overwrite: whether an earlier run there may be replaced.

    Raises:
        UserError: the folder or the data cannot be used, or another process has ended in the body.
    """
    require_main_guard()
    config = on_main(lambda: as_begun(config, out)) if resume else config
    config, show = replace(config, data=name_given(config.data, dataset)), progress and is_main()
    stored = replace(config, data=replace(config.data, data=absolute_name(config.data.data)))
    with peers_may_end():
        on_main(lambda: check_folder(out, stored, resume=resume, overwrite=overwrite))
        with fail_together():
            found: Dataset = load_data(config.data, labels=labels, progress=show, given=dataset)
        stored = decided(stored, found)
        changed: list[str] = on_main(lambda: changed_versions(out)) if resume else []
        data = replace(found, notes=(*found.notes, *changed))
        require_alike(f"data: what {config.data.data} holds", data.fingerprint)
        with ExitStack() as held:
            yield OpenRun(stored, out, data, resume, overwrite, held, show)


def decided(config: C, data: Dataset) -> C:
    """The configuration with the task that the labels show, and the metric and effect that are its default.

    Raises:
        UserError: the metric is not one of the task, or class weights are requested without classes.
    """
    if data.task is None:
        return config
    config, task = replace(config, data=replace(config.data, task=data.task.name)), data.task
    if isinstance(config, PretrainConfig):
        return config
    recipe = config.recipe if isinstance(config, ClassifyConfig) else config.finetune
    if recipe.class_weights != "none" and label_form(task.name) == "numbers":
        raise UserError(f"class_weights = {recipe.class_weights!r}: numbers have no classes; leave it out")
    config = for_task(replace(config, metric=task.metric) if config.metric == "accuracy" else config, task.name)
    if isinstance(config, CompareConfig) and data.train is not None and config.smallest_effect == _EFFECT:
        return replace(config, smallest_effect=task.smallest_effect(config.metric, data.train.labels.numpy()))
    return config


def as_begun(config: C, out: Path) -> C:
    """The configuration with what the run in a folder determined by itself, unless something else is requested."""
    before = read_config(out) if is_run(out) else None
    if type(before) is not type(config) or before is None:
        return config
    if config.data.task == "auto":
        config = replace(config, data=replace(config.data, task=before.data.task))
    if not isinstance(config, PretrainConfig) and not isinstance(before, PretrainConfig | AuditRun):
        config = replace(config, metric=before.metric if config.metric == "accuracy" else config.metric)
    if isinstance(config, CompareConfig) and isinstance(before, CompareConfig) and config.smallest_effect == _EFFECT:
        config = replace(config, smallest_effect=before.smallest_effect)
    return config if config.data.task == "auto" else for_task(config, config.data.task)


def _tell(lines: Sequence[str], *, show: bool) -> None:
    for line in lines if show else ():
        tqdm.write(printable(line), file=sys.stderr)
