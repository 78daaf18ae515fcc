"""What every run does before its work: check the folder, load the data, see that processes agree, claim the folder."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from tqdm import tqdm

from unmask.config import ClassifyConfig, CompareConfig, PretrainConfig
from unmask.data.load import Dataset, load_data, name_given
from unmask.data.sources.read import absolute_name
from unmask.data.sources.torch_dataset import Given
from unmask.distributed import fail_together, is_main, on_main, require_alike
from unmask.main_guard import require_main_guard
from unmask.runs.environment import changed_versions
from unmask.runs.folder import check_folder, claim_folder, require_same_data
from unmask.runs.lock import holding, remove_cut_off
from unmask.training.launch import peers_may_end
from unmask.wording import printable

C = TypeVar("C", PretrainConfig, ClassifyConfig, CompareConfig)


@dataclass(frozen=True)
class OpenRun(Generic[C]):
    """A run whose data are loaded. Its folder may be claimed, and is untouched until then."""

    config: C
    """As config.json will tell it: with the absolute path of the data, or the name of what was handed over."""
    out: Path
    data: Dataset
    resume: bool
    overwrite: bool
    held: ExitStack
    """Ends with the run: the folder that was claimed belongs to this command until then."""
    show: bool
    """Show notes and progress."""

    def tell(self, notes: Sequence[str]) -> None:
        """Print notes on standard error, where they are wanted."""
        _tell([f"note: {note}" for note in notes], show=self.show)

    def claim(self) -> bool:
        """Make the folder ready, and say which recipe fills it. Returns whether an earlier run is continued.

        Raises:
            UserError: see `claim_folder`; another command is running in the folder; or the data set is not the one that
                the run began with.
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
        if choice is not None and not isinstance(self.config, CompareConfig):  # whose plan has said it
            _tell([f"recipe {choice.recipe_name}: {choice.because}"], show=self.show)
        return on_main(claim)


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
    """Open a run. In the body, what can be wrong is looked at; then `claim` the folder and begin the work.

    Args:
        config: everything that determines the result.
        out: run folder.
        dataset: in place of what `config.data` names; see `unmask.pretrain`.
        labels: whether class labels are needed.
        resume: whether an earlier run there may be continued.
        overwrite: whether an earlier run there may be replaced.
        progress: show progress while data are read.

    Raises:
        UserError: the folder or the data will not do, or another process has ended in the body.
    """
    require_main_guard()
    config, show = replace(config, data=name_given(config.data, dataset)), progress and is_main()
    stored = replace(config, data=replace(config.data, data=absolute_name(config.data.data)))
    with peers_may_end():
        on_main(lambda: check_folder(out, stored, resume=resume, overwrite=overwrite))
        with fail_together():
            found: Dataset = load_data(config.data, labels=labels, progress=show, given=dataset)
        changed: list[str] = on_main(lambda: changed_versions(out)) if resume else []
        data = replace(found, notes=(*found.notes, *changed))
        require_alike(f"data: what {config.data.data} holds", data.fingerprint)
        with ExitStack() as held:
            yield OpenRun(stored, out, data, resume, overwrite, held, show)


def _tell(lines: Sequence[str], *, show: bool) -> None:
    for line in lines if show else ():
        tqdm.write(printable(line), file=sys.stderr)
