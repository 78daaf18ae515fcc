"""The runs shared by several verdicts: pretraining, its laws, fine-tuning and scratch, once for each of S seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unmask.theory.capture import captured
from unmask.theory.jobs import Jobs, JobsHere
from unmask.theory.laws import OneFeature, one_feature
from unmask.theory.occupancy import reading_time
from unmask.theory.problem import World, world
from unmask.theory.setting import Setting
from unmask.theory.supervision import Supervised, error, fine_tune, train_from_scratch
from unmask.theory.teacher_student_flow import Pretraining, pretrain

SIZES = (1, 40, 39)
"""Work of a seed, in tenths of a second of `paper-small`: its law, pretraining and fine-tuning, from scratch."""


@dataclass(frozen=True)
class Experiment:
    """S seeds of one setting, pretrained, fine-tuned and trained from scratch."""

    setting: Setting
    worlds: list[World]
    laws: list[OneFeature]
    full_time: float
    """T at which the law predicts 99.9 % coverage of the data's features: the common time for reading encoders."""
    first: Pretraining
    """Every kernel up to its first capture, far beyond full_time."""
    through: Pretraining
    """Every kernel at common times up to full_time, the last of which is the encoder."""
    tuned: Supervised
    scratch: Supervised

    @property
    def held(self) -> Tensor:
        """(M, S, K, F) bool: captured features at the common times."""
        return captured(self.through.correlation, self.setting)

    @property
    def scratch_correlation(self) -> Tensor:
        """⟨w_r, v_f⟩ of training from scratch, (S, K, F)."""
        return torch.stack([w @ one.v.T for w, one in zip(self.scratch.weights, self.worlds, strict=True)])

    def errors(self, learner: Supervised, single: bool) -> list[float]:
        """Test error of every seed on one kind of samples."""
        trained = zip(learner.weights, learner.head, self.worlds, strict=True)
        return [error(w, u, one.test(single), self.setting) for w, u, one in trained]


def run_experiment(
    setting: Setting,
    seeds: Sequence[int],
    jobs: Jobs | None = None,
    points: int = 6,
    dtype: torch.dtype = torch.float32,
) -> Experiment:
    """Do all shared runs.

    Args:
        setting: the setting.
        seeds: seeds of the worlds.
        jobs: where the seeds run: a law, a pretraining and a training from scratch each, with the work of `SIZES`.
            Default: here, one after the other.
        points: common times between 5 % and 99.9 % predicted coverage at which kernels are read.
        dtype: number type of all runs; the draws do not depend on it.
    """
    jobs, worlds = jobs or JobsHere(), [world(setting, seed, dtype) for seed in seeds]
    alone = [(w,) for w in worlds]
    laws = jobs.begin(_law, alone, SIZES[0])()
    full = reading_time(laws, setting)
    early = min(reading_time(laws, setting, 0.05), 0.01 * full)
    times = torch.logspace(0, 1, points, base=full / early, dtype=torch.float64) * early
    scratch = jobs.begin(_scratch, alone, SIZES[2])
    pretrained = jobs.begin(_pretrained, [(w, times, full) for w in worlds], SIZES[1])
    first, through, tuned = zip(*pretrained(), strict=True)
    return Experiment(
        setting, worlds, laws, full, join(first), join(through), join_supervised(tuned), join_supervised(scratch())
    )


def _law(w: World) -> OneFeature:
    return one_feature(w.unlabeled(), w.v, w.setting)


def _scratch(w: World) -> Supervised:
    return train_from_scratch([w])


def _pretrained(w: World, times: Tensor, full_time: float) -> tuple[Pretraining, Pretraining, Supervised]:
    """Pretrain to first captures and through common times, and fine-tune from the last of those."""
    first = pretrain([w], torch.tensor([1e6 * full_time]), through_capture=False)
    through = pretrain([w], times)
    return first, through, fine_tune([w], through.weights[-1])


def join(parts: Sequence[Pretraining]) -> Pretraining:
    """Runs of single seeds as one of S seeds."""
    return replace(
        parts[0],
        weights=torch.cat([p.weights for p in parts], 1),
        correlation=torch.cat([p.correlation for p in parts], 1),
        start=torch.cat([p.start for p in parts]),
        capture_time=torch.cat([p.capture_time for p in parts]),
        leader=torch.cat([p.leader for p in parts]),
        steps=(max(p.steps[0] for p in parts), max(p.steps[1] for p in parts)),
    )


def join_supervised(parts: Sequence[Supervised]) -> Supervised:
    """Runs of single seeds as one of S seeds."""
    return Supervised(
        torch.cat([p.weights for p in parts]),
        torch.cat([p.head for p in parts]),
        torch.cat([p.time for p in parts]),
        torch.cat([p.fitted for p in parts]),
        sum(p.evaluations for p in parts),
    )
