"""A comparison on masks: every kind of arm, a verdict in mIoU, and what is kept."""

from pathlib import Path

import pytest

import tiny
import unmask
from unmask.config import ClassifyRecipe, CompareConfig, DataConfig, MaskConfig, OptimizerConfig, PretrainRecipe
from unmask.profiling.forecast import Forecast
from unmask.results import Comparison

ARMS = ("mrp", "scratch_same", "scratch_masked", "probe_mrp", "probe_random")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("masks")
    config = CompareConfig(
        data=DataConfig(data=str(tiny.mask_folder(folder / "data"))),
        encoder=tiny.RESNET,
        pretrain=PretrainRecipe(
            mask=MaskConfig(cell=4), target=tiny.SMALL_DECODER, optimizer=OptimizerConfig(steps=2, batch_size=4)
        ),
        finetune=ClassifyRecipe(optimizer=OptimizerConfig(steps=2, batch_size=4, lr=3e-3)),
        budgets=(4, 8),
        draws=2,
        tuning_draws=1,
        pretrainings=1,
        arms=ARMS,
        given="none",
        jobs=1,
    )
    plans: list[Forecast] = []
    run = unmask.compare(config, folder / "run", progress=False, approve=plans.append)
    assert plans[0].seconds > 0
    return run


def test_every_row_and_the_verdict_are_about_mean_iou(compared: Comparison) -> None:
    summary = compared.summary
    assert summary.settings.metric == "miou"
    assert {one.arm for one in summary.means if one.metric == "miou"} == set(ARMS)
    assert {one.budget for one in summary.verdicts} == {"total:4", "total:8"}
    assert "of mIoU" in summary.verdicts[0].sentence
    assert "accuracy" not in {one.metric for one in summary.scores}


def test_the_page_has_a_table_of_classes(compared: Comparison) -> None:
    page = (compared.folder / "report.html").read_text(encoding="utf-8")
    assert "Which classes are found" in page
    assert "bright" in page


def test_the_probe_that_is_kept_gives_its_own_score_to_the_bit(compared: Comparison, tmp_path: Path) -> None:
    found = unmask.predict(compared, tmp_path / "masks", arm="probe_mrp", split="test", progress=False)
    scores = [
        one.value
        for one in compared.summary.scores
        if (one.arm, one.metric, one.split) == ("probe_mrp", "miou", "test")
    ]
    assert found.miou in scores  # type: ignore[union-attr]
