"""A comparison on masks: every kind of arm, a verdict in mIoU, pictures, and what is kept."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
import unmask
from unmask.config import ClassifyRecipe, CompareConfig, DataConfig, MaskConfig, OptimizerConfig, PretrainRecipe
from unmask.data.decoding.image_format import ImageFormat
from unmask.encoders.build import build_model
from unmask.errors import UserError
from unmask.profiling.forecast import Forecast
from unmask.results import Comparison
from unmask.runs.files import read_json
from unmask.weights.card import Card, save_weights

pytestmark = pytest.mark.slow  # a comparison is trained first

ARMS = (
    *("mrp", "scratch_same", "scratch_best", "scratch_masked", "probe_mrp", "probe_random"),
    *("given", "given_mrp", "probe_given", "probe_given_mrp"),
)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("masks")
    card = Card(tiny.RESNET, ImageFormat.plain((16, 16), 1, "uint8"), None)
    weights = build_model(tiny.RESNET, in_chans=1, image_size=(16, 16), seed=7).state_dict()
    save_weights(folder / "given.safetensors", weights, card)
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
        given=str(folder / "given.safetensors"),
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
    assert "How well each class is segmented" in page
    assert "mIoU for few to many labels" in page
    assert "Spearman" not in page
    assert "bright" in page


def test_the_page_shows_what_every_arm_segments(compared: Comparison) -> None:
    gallery = read_json(compared.folder / "gallery.json")
    assert {one["arm"] for one in gallery["panels"]} == set(ARMS)
    assert "Predicted masks" in (compared.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("arm", ["mrp", "probe_mrp", "given_mrp", "probe_given"])
def test_the_network_that_is_kept_gives_its_own_score_to_the_bit(
    compared: Comparison, tmp_path: Path, arm: str
) -> None:
    found = unmask.predict(compared, tmp_path / "masks", arm=arm, split="test", progress=False)
    scores = [one.value for one in compared.summary.scores if (one.arm, one.metric, one.split) == (arm, "miou", "test")]
    assert found.miou in scores  # type: ignore[union-attr]


def test_a_probe_is_exported_and_embedded_as_any_network(compared: Comparison, tmp_path: Path) -> None:
    found = unmask.export(compared, "torch-export", tmp_path / "probe", arm="probe_given")
    assert found.difference <= 1e-4
    assert "background, bright, dark" in (tmp_path / "probe/README.md").read_text()
    assert unmask.embed(compared, tmp_path / "features.npz", arm="probe_mrp", split="test", progress=False).shape == (
        8,
    )


def test_lost_trials_are_trained_again_to_the_bit(compared: Comparison, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(compared.folder, folder)
    lost = [folder / "trials" / f"{arm}-total4-d1-p0.json" for arm in ("mrp", "probe_given_mrp")]
    before = [read_json(file)["metrics"] for file in lost]
    for file in lost:
        file.unlink()
    unmask.compare(compared.config, folder, resume=True, progress=False)
    assert [read_json(file)["metrics"] for file in lost] == before


def test_an_audit_of_masks_is_refused_before_work(compared: Comparison, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"audit: needs images of one class each.*segmentation"):
        unmask.compare(replace(compared.config, audit=True), tmp_path / "run", progress=False)
