"""The labeled images that pretrained encoders choose, in each draw from its own half of the training images."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from unmask.choosing.features import Features, features_of
from unmask.choosing.strategies import choose_rows
from unmask.comparison.fitted_encoder import fitted_encoder
from unmask.comparison.plan import choice_file, count_pretrainings, labeled_images, turn_of
from unmask.comparison.tasks import Work
from unmask.config import CompareConfig
from unmask.config.budget import Budget, is_chosen, parse_budget
from unmask.data.labeled import draw_labeled, strata_of
from unmask.data.load import Dataset
from unmask.data.subsets import half_of
from unmask.randomness import derive_seed
from unmask.runs.files import write_json
from unmask.runs.read import read_record
from unmask.runs.trial_records import ChosenIds


def write_choices(work: Work) -> None:
    """Let every pretraining choose for its draws, as far as that is not done; does nothing if no budget asks for it.

    The pretrainings must be finished.
    """
    config = work.config
    most = max((int(parse_budget(one).value) for one in config.budgets if is_chosen(one)), default=0)
    if most == 0:
        return
    encoders = next(iter(work.encoders.values()))
    waiting: dict[int, list[int]] = {}
    for index, turn in _choices(config):
        if not choice_file(work.out, index, turn).exists():
            waiting.setdefault(turn, []).append(index)
    for turn, indices in waiting.items():
        encoder, data = fitted_encoder(config, encoders[turn], work.data)
        assert data.train is not None
        found = features_of(encoder, data.train)
        for index in indices:
            ids = _choose(config, work.data, found, index, most)
            write_json(choice_file(work.out, index, turn), ChosenIds(ids=ids))


def _choices(config: CompareConfig) -> Iterator[tuple[int, int]]:
    """(label draw, tuning draws first; pretraining) of every choice."""
    repeats = range(count_pretrainings(config)) if config.design == "crossed" else range(1)
    for draw in range(config.tuning_draws):
        yield draw, turn_of(config, draw, draw % len(repeats))
    for draw in range(config.planned_draws):
        yield from ((config.tuning_draws + draw, turn_of(config, draw, repeat)) for repeat in repeats)


def _choose(config: CompareConfig, data: Dataset, found: Features, index: int, count: int) -> tuple[int, ...]:
    """Ids of the images chosen from the half of a draw, in order."""
    assert data.train is not None
    seed, known = labeled_images(config, index)["subset_seed"], found.images.ids
    members = data.groups_of(data.train)
    half = half_of(strata_of(data), seed, members, index)
    half = half[torch.isin(data.train.ids[half], known)]
    at = torch.searchsorted(known, data.train.ids[half])
    groups = None if members is None else members[half.numpy()]
    rows = choose_rows(found.values[at.numpy()], count, groups=groups, seed=derive_seed(seed, "choice", index))
    return tuple(known[at][rows].tolist())


def labeled_rows(config: CompareConfig, data: Dataset, out: Path, draw: int) -> dict[Budget, Tensor]:
    """Rows of the training set that a reported draw labels, by budget; with several pretrainings, the first one's."""
    assert data.train is not None
    index = config.tuning_draws + draw
    one = labeled_images(config, index)
    rows = draw_labeled(data, config.budgets, one["subset_seed"], one["subset_index"])
    for budget in (budget for budget in config.budgets if is_chosen(budget)):
        file = choice_file(out, index, turn_of(config, draw))
        ids = read_record(ChosenIds, file).ids[: int(parse_budget(budget).value)]
        rows[budget] = torch.isin(data.train.ids, torch.tensor(ids)).nonzero().flatten()
    return rows
