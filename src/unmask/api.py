"""The commands as functions: same defaults, same names of settings, results as objects.

Each takes a data set, whose recipe then gives all defaults as on the command line, or a complete configuration.
Further keyword arguments are settings named like the flags, with underscores: `lr=1e-4`, `image_size=(64, 64)`.
"""

import sys
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

from unmask.audit.audit_runs import audit_runs as run_audit
from unmask.comparison import demo as demonstration
from unmask.comparison.place import open_elsewhere
from unmask.comparison.run import compare as run_comparison
from unmask.comparison.run import forecast_comparison
from unmask.config import AuditConfig, ClassifyConfig, CompareConfig, DataConfig, PretrainConfig
from unmask.config.audit import AuditRun
from unmask.config.cluster import ClusterConfig
from unmask.config.effects import require_effect
from unmask.config.names import change
from unmask.data.load import Dataset, load_data
from unmask.data.sources.torch_dataset import Given
from unmask.errors import UserError
from unmask.profiling.forecast import Approve, Forecast, forecast_training
from unmask.recipes import Wish, configured, data_for_audit
from unmask.results import Audit, Classification, Comparison, Pretraining
from unmask.runs.kept import choose_network, is_comparison
from unmask.stages import classify
from unmask.stages.pretrain import pretrain as run_pretraining
from unmask.training.launch import started_processes
from unmask.training.open_run import BeforeWork
from unmask.training.step import OnStep
from unmask.wording import printable

StrPath = str | PathLike[str]
C = TypeVar("C", PretrainConfig, ClassifyConfig, CompareConfig)


def pretrain(
    data: StrPath | PretrainConfig,
    out: StrPath,
    *,
    recipe: str | None = None,
    encoder: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | Given | None = None,
    on_step: OnStep | None = None,
    approve: Approve | None = None,
    **settings: Any,
) -> Pretraining:
    """Pretrain an encoder on unlabeled images: `unmask pretrain`.

    The encoder sees only visible cells; the loss is over hidden ones:
    L = Σ_{hidden cells} ‖decoder(encoder(visible)) - target‖² / (D · number of hidden cells) (He et al. 2022, eq. in
    section 3; targets by `target`).

    Args:
        data: a path or the name of a built-in, for the defaults of its recipe; or a complete configuration.
        out: run folder to create.
        recipe: the recipe that gives the defaults, if `data` is not a configuration. Default: chosen by the data.
        encoder: replaces the recipe's encoder, whose options, strides and mask cell then do not carry over.
        resume: continue an interrupted run of the same configuration, bit for bit as if it had never stopped (CPU).
        overwrite: replace an existing run.
        progress: show a bar with the time left.
        dataset: used instead of what `data` names: a torch Dataset, several by split, or what `load_data` returned.
        on_step: called in every process after each optimizer step has been logged and saved; an exception it raises
            ends the run, which `resume` continues from its newest checkpoint.
        approve: called with the plan, for which a few steps are timed, before the run folder is touched; an exception
            it raises ends the run. With several processes it is not called.
        **settings: fields that differ from the recipe or the configuration, named like the flags: `epochs=50`.

    Raises:
        UserError: any bad input, before training starts; or a loss that is not finite.
        PreemptionError: SIGTERM came; a checkpoint of the step then finished is saved.
    """
    config = _configuration(PretrainConfig, data, recipe, encoder, dataset, settings)
    flags: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "progress": progress}
    flags["before"] = _foreseeing(approve, Path(out) if resume else None)
    return Pretraining(run_pretraining(config, Path(out), dataset=dataset, on_step=on_step, **flags))


def finetune(
    data: StrPath | ClassifyConfig,
    out: StrPath,
    *,
    recipe: str | None = None,
    encoder: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | Given | None = None,
    on_step: OnStep | None = None,
    approve: Approve | None = None,
    **settings: Any,
) -> Classification:
    """Train a pretrained encoder with a new head on labeled images: `unmask finetune`.

    Recipe, encoder and image size are those of `init` if it is a run. Arguments as in `pretrain`.

    Raises:
        UserError: bad input, before training starts; `init` is missing (see `scratch`).
        PreemptionError: SIGTERM came; a checkpoint of the step then finished is saved.
    """
    config = _configuration(ClassifyConfig, data, recipe, encoder, dataset, settings)
    flags = {"resume": resume, "overwrite": overwrite, "progress": progress}
    before = _foreseeing(approve, Path(out) if resume else None)
    return Classification(
        classify.finetune(config, Path(out), dataset=dataset, on_step=on_step, before=before, **flags)
    )


def scratch(
    data: StrPath | ClassifyConfig,
    out: StrPath,
    *,
    recipe: str | None = None,
    encoder: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | Given | None = None,
    on_step: OnStep | None = None,
    approve: Approve | None = None,
    **settings: Any,
) -> Classification:
    """The same training from random weights: `unmask scratch`. Arguments as in `pretrain`."""
    config = _configuration(ClassifyConfig, data, recipe, encoder, dataset, settings)
    flags: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "progress": progress}
    flags["before"] = _foreseeing(approve, Path(out) if resume else None)
    return Classification(classify.scratch(config, Path(out), dataset=dataset, on_step=on_step, **flags))


def compare(
    data: StrPath | CompareConfig,
    out: StrPath,
    *,
    recipe: str | None = None,
    encoder: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | Given | None = None,
    approve: Approve | None = None,
    watch: bool = False,
    **settings: Any,
) -> Comparison:
    """Does pretraining help on these images? `unmask compare`: fine-tuned against scratch, intervals and a verdict.

    docs/comparison.md describes the arms, the subsets and the statistics. With `resume` an interrupted comparison
    continues from the last finished training. Arguments as in `pretrain`; fields of a recipe are given under its name:
    `pretrain={"epochs": 50}, finetune={"lr": 1e-3}`. `approve` is called with the forecast before the work begins
    (a few steps are timed for it); an exception it raises ends the comparison. With `watch` the report is also
    written while the comparison runs: open it in a browser, where it reloads itself.

    Raises:
        UserError: any bad input, before the first training.
    """
    config = _configuration(CompareConfig, data, recipe, encoder, dataset, settings)
    flags = {"resume": resume, "overwrite": overwrite, "progress": progress, "watch": watch}
    return Comparison(run_comparison(config, Path(out), dataset=dataset, approve=approve, **flags))


def forecast(
    data: StrPath | PretrainConfig | ClassifyConfig | CompareConfig,
    out: StrPath = "runs/answer",
    *,
    recipe: str | None = None,
    encoder: str | None = None,
    dataset: Dataset | Given | None = None,
    **settings: Any,
) -> Forecast:
    """What `compare` would do with these arguments, how long that takes and how much memory: `unmask compare --plan`.

    A few real steps are timed, in seconds; nothing is written. What is finished in `out` counts as done. For a
    configuration of another kind the plan is that of the single training from its start.

    Raises:
        UserError: any bad input.
    """
    if isinstance(data, PretrainConfig | ClassifyConfig):
        kind: Any = type(data)
        one = _configuration(kind, data, recipe, encoder, dataset, settings)
        labels = isinstance(data, ClassifyConfig)
        return forecast_training(one, load_data(one.data, labels=labels, progress=False, given=dataset))
    config = _configuration(CompareConfig, data, recipe, encoder, dataset, settings)
    return forecast_comparison(config, Path(out), dataset=dataset)


def demo(out: StrPath = "runs/demo", *, progress: bool = True) -> Comparison:
    """The whole job on the built-in data in a few minutes: `unmask demo`. Continues if `out` exists."""
    return Comparison(demonstration.demo(Path(out), progress=progress))


def audit_runs(
    runs: Sequence[StrPath],
    out: StrPath,
    *,
    arm: str | None = None,
    data: StrPath | DataConfig | None = None,
    config: AuditConfig | None = None,
    cluster: ClusterConfig | None = None,
    overwrite: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Audit:
    """Which features did trained networks capture? `unmask audit`: finished networks side by side on the same images.

    Args:
        runs: folders of fine-tunings, trainings from scratch and comparisons, or .safetensors files.
        out: folder to write: audit.json, audit.html, pictures.
        arm: for comparisons: the arm whose network is audited. Default: the recommended one.
        data: where the images come from. Default: the data of the first run folder. Size and channels are those of
            the networks.
        config: how the networks are audited.
        cluster: where the measures are computed. Default: here, one after the other.
        overwrite: replace an earlier audit in `out`.
        progress: show progress bars.
        **settings: fields that differ from `data` and `config`, named like the flags: `images=64`.

    Raises:
        UserError: bad input, before anything is measured.
    """
    folders = [Path(run) for run in runs]
    found = data if isinstance(data, DataConfig) else data_for_audit(data, folders)
    networks = tuple(_network(one, arm, tell=progress) for one in folders)
    if arm is not None and list(networks) == folders:
        raise UserError(f"arm = {arm!r} has no effect: none of the runs is a comparison")
    asked = change(AuditRun(networks=networks, data=found, audit=config or AuditConfig()), settings)
    how = {"overwrite": overwrite, "progress": progress}
    needed = [path.absolute() for path in asked.networks if path.exists()]
    with open_elsewhere(cluster or ClusterConfig(), Path(out).absolute().parent, needed) as elsewhere:
        folder = run_audit(asked.networks, asked.data, Path(out), asked.audit, **how, elsewhere=elsewhere)
    return Audit(folder)


def _foreseeing(approve: Approve | None, begun: Path | None) -> BeforeWork[Any] | None:
    """The hook that asks for approval before a training's folder is touched; None if several processes train it."""
    if approve is None or started_processes() > 1:
        return None
    return lambda config, data: approve(forecast_training(config, data, begun))


def _network(run: Path, arm: str | None, *, tell: bool) -> Path:
    """The file of a comparison's network, which is reported; any other run unchanged."""
    if not is_comparison(run):
        return run
    chosen = choose_network(run, arm)
    if tell:
        print(printable(f"note: {run}: {chosen}"), file=sys.stderr)
    return chosen.file


def _configuration(
    kind: type[C],
    data: StrPath | C,
    recipe: str | None,
    encoder: str | None,
    given: Dataset | Given | None,
    settings: Mapping[str, Any],
) -> C:
    """Return the configuration that the arguments ask for.

    Raises:
        UserError: a setting is unknown or without effect, or its value is not allowed; a recipe beside a complete
            configuration.
    """
    pretrained = settings.get("pretrained") or (None,)
    start = settings.get("init") or next(iter(pretrained))
    start = None if start is None else fspath(start)
    if isinstance(data, str | PathLike):
        fields = {name: value for name, value in settings.items() if name in ("image_field", "label_field")}
        named = change(DataConfig(data=fspath(data)), fields)
        config = configured(kind, None, Wish(name=recipe, data=named, given=given, start=start, encoder=encoder))
    elif isinstance(data, kind):
        config = configured(kind, data, Wish(name=recipe, start=start, encoder=encoder))
    else:
        raise UserError(f"data: expected a path, a name, or a {kind.__name__}, found a {type(data).__name__}")
    changed = change(config, settings)
    require_effect(changed, config)
    return changed
