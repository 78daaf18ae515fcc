"""What a recipe is, how it is adapted to data, encoder and start, and the configurations that it gives."""

from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

from unmask.config import (
    ClassifyConfig,
    ClassifyRecipe,
    CompareConfig,
    DataConfig,
    EncoderConfig,
    PretrainConfig,
    PretrainRecipe,
)
from unmask.config.names import change
from unmask.runs.read import is_run, read_encoder_run

C = TypeVar("C", PretrainConfig, ClassifyConfig, CompareConfig)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Encoder, pretraining, fine-tuning, and the recipes among which the best scratch arm chooses."""

    encoder: EncoderConfig
    pretrain: PretrainRecipe = field(default_factory=PretrainRecipe)
    finetune: ClassifyRecipe = field(default_factory=ClassifyRecipe)
    scratch_candidates: tuple[ClassifyRecipe, ...] = ()
    data: DataConfig = field(default_factory=DataConfig)

    def pretrain_config(self, **changes: Any) -> PretrainConfig:
        """The configuration of a pretraining.

        Args:
            **changes: fields that differ from the recipe, named like the command line's flags: `lr=1e-4`, `seed=1`.

        Raises:
            UserError: a name is unknown, or a value is not allowed.
        """
        return change(self.fill(PretrainConfig()), changes)

    def finetune_config(self, init: str | PathLike[str], **changes: Any) -> ClassifyConfig:
        """The configuration of a fine-tuning of the weights `init`; `changes` as in `pretrain_config`."""
        return change(self.fill(ClassifyConfig(init=fspath(init))), changes)

    def scratch_config(self, **changes: Any) -> ClassifyConfig:
        """The same training from random weights; `changes` as in `pretrain_config`."""
        return change(self.fill(ClassifyConfig()), changes)

    def compare_config(self, **changes: Any) -> CompareConfig:
        """The configuration of a comparison; `changes` as in `pretrain_config`.

        What differs from the recipe in one of its trainings stands under its name: `pretrain={"lr": 1e-4}`.
        """
        return change(self.fill(CompareConfig()), changes)

    def fill(self, config: C) -> C:
        """The configuration with data, encoder and trainings of the recipe; its other fields stay."""
        trainings: dict[str, Any] = {"recipe": self.pretrain if isinstance(config, PretrainConfig) else self.finetune}
        if isinstance(config, CompareConfig):
            trainings = {name: getattr(self, name) for name in ("pretrain", "finetune", "scratch_candidates")}
        return replace(config, data=self.data, encoder=self.encoder, **trainings)

    def adapted(self, *, data: str | None = None, start: str | None = None, encoder: str | None = None) -> "Recipe":
        """The recipe for other data, for the encoder and image size of the run `start`, or for another encoder.

        Options of the recipe's own data and encoder, and its mask cell, do not carry over to others. Where `start` is
        not a run folder (a weights file, timm:pretrained), it changes nothing.

        Raises:
            UserError: the config.json in `start` is not the configuration of a run.
        """
        found = replace(self, data=other_data(self.data, data))
        if start is not None:
            found = found._continuing(Path(start))
        if encoder is not None and encoder != found.encoder.encoder:
            found = found._with_encoder(EncoderConfig(encoder=encoder))
        return found

    def _with_encoder(self, encoder: EncoderConfig) -> "Recipe":
        pretrain = replace(self.pretrain, mask=replace(self.pretrain.mask, cell=None))
        return self if encoder == self.encoder else replace(self, encoder=encoder, pretrain=pretrain)

    def _continuing(self, run: Path) -> "Recipe":
        if not is_run(run):
            return self
        config = read_encoder_run(run)
        data = replace(self.data, image_size=config.data.image_size)
        return replace(self._with_encoder(config.encoder), data=data)


def other_data(config: DataConfig, data: str | None) -> DataConfig:
    """The same form of other data, where `data` names any; options are of one data set."""
    return config if data in (None, config.data) else replace(config, data=data, options=None)


def recipe_of(config: PretrainConfig | ClassifyConfig | CompareConfig) -> Recipe:
    """The recipe in a configuration, such that `recipe_of(config).fill(config) == config`."""
    if isinstance(config, PretrainConfig):
        return Recipe(encoder=config.encoder, data=config.data, pretrain=config.recipe)
    if isinstance(config, ClassifyConfig):
        return Recipe(encoder=config.encoder, data=config.data, finetune=config.recipe)
    return Recipe(
        encoder=config.encoder,
        data=config.data,
        pretrain=config.pretrain,
        finetune=config.finetune,
        scratch_candidates=config.scratch_candidates,
    )
