"""Synthetic run folders for the tests of the page, as fixtures that write one. All numbers are made up."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from tiny import confusion_entries
from unmask.audit.audit_runs import write_audit
from unmask.audit.measures.health import Health
from unmask.audit.protocol import Finding
from unmask.audit.sections.health import spectra
from unmask.audit.sections.image_figures import Row, map_tiles, view_bars
from unmask.audit.sections.part_figures import part_grid, unit_heatmap
from unmask.config import (
    AuditRun,
    ClassifyConfig,
    CompareConfig,
    DataConfig,
    PretrainConfig,
    PretrainRecipe,
    TargetConfig,
)
from unmask.config.comparison import EvaluateOn
from unmask.inference.summary import summarize
from unmask.inference.table import scores_of
from unmask.report.blocks import Photograph, Plate, Section
from unmask.runs.environment import describe_environment
from unmask.runs.files import write_json
from unmask.runs.gallery import FeatureMap, Gallery, Mistake, Mistakes, Neighborhood, Point, Sheet, Shown
from unmask.runs.layout import ENVIRONMENT_FILE, GALLERY_FILE, RESULT_FILE, SHEETS, SUMMARY_FILE, TRIALS
from unmask.runs.metrics import TrainingRow
from unmask.runs.read import write_config
from unmask.runs.records import ClassificationResult
from unmask.runs.scores import ClassificationScores, ClassScores
from unmask.runs.trial_records import TrialResult
from unmask.runs.trials import trial_name

ARMS = ("mrp", "scratch_same", "scratch_best", "scratch_compute", "scratch_masked", "probe_mrp", "probe_random")
BUDGETS = (10, 50, 100)
SPLITS = ("val", "multi", "single_1", "single_2")
CLASSES = ["ring", "猫", "$cross$", "a <b>bold</b> & long class name", "disc"]
_LEVEL = {"mrp": 0.06, "scratch_best": 0.02, "scratch_compute": 0.03, "scratch_masked": 0.01}
_LEVEL |= {"probe_mrp": 0.0, "probe_random": -0.15}


Writer = Callable[..., Path]
Target = Literal["pixels", "normalized_pixels", "ema_teacher"]


def pytest_configure(config: pytest.Config) -> None:
    """The mark of tests that open the page in Chromium."""
    config.addinivalue_line("markers", "browser: opens the report in a real browser")


@pytest.fixture(scope="session")
def comparison_folder() -> Writer:
    """`write_comparison`."""
    return write_comparison


@pytest.fixture(scope="session")
def pretraining_folder() -> Writer:
    """`write_pretraining`."""
    return write_pretraining


@pytest.fixture(scope="session")
def classification_folder() -> Writer:
    """`write_classification`."""
    return write_classification


@pytest.fixture(scope="session")
def gallery_of() -> Writer:
    """`write_gallery`."""
    return write_gallery


@pytest.fixture(scope="session")
def audit_folder() -> Writer:
    """`write_audit_folder`."""
    return write_audit_folder


def _write_environment(folder: Path, **facts: Any) -> None:
    environment = replace(describe_environment(**facts), processor="A made-up processor")
    write_json(folder / ENVIRONMENT_FILE, environment)


def _scores(accuracy: float, rng: np.random.Generator) -> ClassificationScores:
    recalls = np.clip(accuracy + rng.normal(0, 0.05, len(CLASSES)), 0, 1)
    k = len(CLASSES)
    confusion = [
        [round(40 * r) if i == j else round(40 * (1 - r) / (k - 1)) for j in range(k)] for i, r in enumerate(recalls)
    ]
    return ClassificationScores(
        accuracy=accuracy,
        balanced_accuracy=accuracy,
        macro_f1=0.99 * accuracy,
        auroc=min(1.0, accuracy + 0.1),
        per_class=tuple(
            ClassScores(name=name, recall=float(r), precision=float(r), images=40)
            for name, r in zip(CLASSES, recalls, strict=True)
        ),
        confusion=confusion_entries(confusion),
    )


def _accuracy(arm: str, budget: int, split: str, draw: int, rng: np.random.Generator) -> float:
    base = {"val": 0.7, "test": 0.7, "multi": 0.9, "single_1": 0.75, "single_2": 0.35}[split]
    gain = _LEVEL.get(arm, 0.0) * {"multi": 0.1, "single_2": 2.5}.get(split, 1.0)
    level = base + gain + 0.06 * np.log10(budget / 10) + 0.01 * draw + rng.normal(0, 0.008)
    return float(np.clip(level, 0, 1))


def write_comparison(
    folder: Path,
    *,
    draws: int = 3,
    budgets: tuple[int, ...] = BUDGETS,
    finished: bool = True,
    splits: tuple[str, ...] = SPLITS,
    evaluate_on: EvaluateOn = "test",
) -> Path:
    """A comparison with all arms, `draws` label draws and two pretrainings; the first split is validation."""
    rng = np.random.default_rng(0)
    trials = []
    for budget in budgets:
        for arm in ARMS:
            if arm == "scratch_compute" and budget != budgets[0]:
                continue
            for draw in range(draws):
                for pretraining in (0, 1) if arm.endswith("mrp") else (None,):
                    trial = TrialResult(
                        arm=arm,
                        budget=budget,
                        draw=draw,
                        pretraining=pretraining,
                        metrics={s: _scores(_accuracy(arm, budget, s, draw, rng), rng) for s in splits},
                        labeled_images=3 * budget,
                        seconds=12.5,
                        history=tuple(
                            TrainingRow(phase="all", step=t, loss=2.3 * 0.985**t + 0.5, val_accuracy=t / 400)
                            for t in range(20, 220, 20)
                        ),
                        probe_strength=None,
                    )
                    write_json(TRIALS.path(folder, trial_name(arm, budget, draw, pretraining, 0)), trial)
                    trials.append(trial)
    folder.mkdir(parents=True, exist_ok=True)
    config = CompareConfig(budgets=budgets, arms=ARMS, smallest_effect=0.01, confidence=0.95, evaluate_on=evaluate_on)
    write_config(folder, config)
    _write_environment(folder, notes=("scratch_compute is capped at 4 times the fine-tuning",))
    for seed in range(2):
        write_pretraining(folder / "pretrain" / f"seed_{seed}", seed=seed)
    if finished:
        scores = [score for trial in trials for score in scores_of(trial)]
        ensembles = {(arm, budget, splits[1]): 0.95 for arm in ("mrp", "scratch_same") for budget in budgets}
        notes = ["12 labeled validation images were used"]
        write_json(folder / SUMMARY_FILE, summarize(config, scores, ensembles=ensembles, notes=notes))
        write_gallery(folder, ARMS, split=splits[1])
    return folder


def write_gallery(folder: Path, arms: Sequence[str] = ("",), points: int = 60, split: str = "multi") -> Path:
    """A gallery of made-up images in a run folder: eight mistakes of every arm, a map, the neighbors of two images."""
    rng = np.random.default_rng(3)
    sheets = {"mistakes": Sheet(columns=3, count=8, width=16, height=16)}
    sheets["map"] = Sheet(columns=8, count=points, width=8, height=8)
    (folder / "gallery").mkdir(parents=True, exist_ok=True)
    for name, sheet in sheets.items():
        shape = (sheet.rows * sheet.height, sheet.columns * sheet.width, 3)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(SHEETS.path(folder, name))
    images = [
        Shown(name=f"{CLASSES[i % 5]}/{i}.png", truth=i % 5, predicted=(i + (i % 7 == 0)) % 5) for i in range(points)
    ]
    worst = tuple(
        Mistake(picture=i, image=replace(images[7 * i], name=f"<i>{i}</i>.png"), probability=0.99 - i / 100)
        for i in range(8)
    )
    gallery = Gallery(
        split=split,
        classes=tuple(CLASSES),
        channels=3,
        mistakes=tuple(Mistakes(arm=arm, trainings=4, wrong=12, images=200, worst=worst) for arm in arms),
        mistake_sheet=sheets["mistakes"],
        map=FeatureMap(
            network="",
            method="t-SNE",
            neighbors=10,
            trustworthiness=0.93,
            points=tuple(Point(x=float(rng.random()), y=float(rng.random()), image=one) for one in images),
            neighborhoods=tuple(Neighborhood(of=i, nearest=(5, 6, 10), similarity=(0.9, 0.8, 0.7)) for i in range(2)),
        ),
        map_sheet=sheets["map"],
    )
    write_json(folder / GALLERY_FILE, gallery)
    return folder


def write_pretraining(folder: Path, *, seed: int = 0, steps: int = 800, target: Target = "pixels") -> Path:
    """A pretraining with a falling loss and three pictures."""
    rng = np.random.default_rng(seed)
    lines = []
    for step in range(1, steps + 1):
        loss = 0.3 + 0.7 * np.exp(-step / 150) + rng.normal(0, 0.02)
        lines.append(
            {
                "kind": "train",
                "step": step,
                "epoch": step / 100,
                "loss": loss,
                "baseline": 0.95 + 0.01 * rng.normal(),
            }
        )
        if step % 200 == 0:
            lines.append(
                {
                    "kind": "val",
                    "step": step,
                    "epoch": step / 100,
                    "collapsed": False,
                    "val_loss": loss + 0.03,
                    "baseline": 0.95,
                    "effective_rank": 20 + step / 40,
                    "feature_std": 0.5,
                }
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, PretrainConfig(seed=seed, recipe=PretrainRecipe(target=TargetConfig(target=target))))
    _write_environment(folder, notes=("effective learning rate 1e-3",))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "pictures").mkdir(parents=True)
    for step in (0, steps // 2, steps):
        pixels = _stripes(step / steps)
        Image.fromarray(pixels).save(folder / "pictures" / f"step_{step:08d}.png")
    return folder


def _stripes(progress: float) -> np.ndarray:
    """Three rows of eight tiles: an image, a masked image, and a reconstruction that gets better."""
    y, x = np.mgrid[0:96, 0:96]
    tiles = []
    for i in range(8):
        image = 0.5 + 0.5 * np.sin((x * (i + 1) + y * (8 - i)) / 60)
        hidden = ((x // 12 * 7 + y // 12 * 5 + i) % 3) > 0
        tiles.append([image, np.where(hidden, 0.5, image), np.where(hidden, 0.5 + (image - 0.5) * progress, image)])
    rows = [np.concatenate([tile[r] for tile in tiles], axis=1) for r in range(3)]
    gray = (255 * np.concatenate(rows, axis=0)).astype(np.uint8)
    return np.stack([gray, gray // 2 + 60, 255 - gray // 2], axis=-1)


def write_classification(folder: Path, *, accuracy: float = 0.8, init: str | None = None) -> Path:
    """A finished training with scores on two splits."""
    rng = np.random.default_rng(1)
    lines = [{"kind": "train", "step": t, "loss": 2 * 0.99**t, "val_accuracy": t / 400} for t in range(20, 320, 20)]
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, ClassifyConfig(data=DataConfig(data="own/images"), init=init))
    _write_environment(folder, bad_files=("a/cut.jpg",))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = ClassificationResult(
        metrics={name: _scores(accuracy, rng) for name in ("val", "test")},
        seconds=75.0,
        labeled_images=50,
        validation_labels=40,
        notes=(),
    )
    write_json(folder / RESULT_FILE, result)
    return write_gallery(folder)


def write_audit_folder(folder: Path) -> Path:
    """An audit of three networks: the widest figures that the measures draw, of made-up numbers."""
    rng = np.random.default_rng(2)
    networks = ["fine-tuned", "from scratch", "random weights"]
    spectrum = tuple(0.1 * 0.9 ** np.arange(60))
    health = Health(60, 90, 21.5, 18.1, 0.2, 0.0, spectrum)
    image = torch.from_numpy(rng.random((1, 32, 32))).float()
    maps = tuple(tuple(rng.normal(size=(8, 8)) for _ in networks) for _ in range(3))
    parts = [f"{name}, part {i}" for name in "abcdefghij" for i in (1, 2)]
    shares = {name: rng.random(20) for name in networks}
    got = {name: values > 0.5 for name, values in shares.items()}
    drawn = [
        Plate(spectra({name: {f"stage {i}": health for i in range(4)} for name in networks}), "a", "b", "spectra"),
        Plate(part_grid(parts, 10, shares, got, shares), "a", "b", "parts"),
        Plate(unit_heatmap(rng.random((64, 20)), rng.random(20) > 0.5, parts, 10)[1], "a", "b", "units"),
        Plate(view_bars({name: [1, 2, 2, 3] for name in networks}), "a", "b", "bars"),
    ]
    tiles = map_tiles([Row(image, "a", maps)], ["Eigen", "Grad", "Hidden"], networks)
    section = Section("All figures", "One of each.", plates=drawn, photographs=[Photograph(tiles, "a", "b", "maps")])
    asked = AuditRun(networks=(folder / "network",), data=DataConfig(data="multiview"))
    return write_audit(folder, asked, [Finding("all", section, {})], fingerprint="f")
