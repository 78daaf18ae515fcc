"""Every setting that does nothing beside others says so before anything is read."""

from dataclasses import is_dataclass
from operator import attrgetter
from pathlib import Path

import pytest

import unmask
from tiny import draw, load
from unmask.cli.flags import defaults_of
from unmask.cli.main import FLAGS_WITHOUT_EFFECT, main
from unmask.config import AugmentConfig, DataConfig
from unmask.data.augment import saturation_note
from unmask.data.check.report import check_data
from unmask.errors import UserError

PRETRAIN, SCRATCH = "pretrain --data digits --out run", "scratch --data digits --out run"
FINETUNE, COMPARE = "finetune --data digits --init run --out tuned", "compare --data digits --out run"
EXPORT = "export run --to"
CASES = {
    "pretrain --data images --pages-are-channels --page 1 --out run": "--page 1 has no effect: all pages are channels",
    f"{PRETRAIN} --page 1": "--page 1 has no effect: digits is built in",
    f"{PRETRAIN} --pages-are-channels": "--pages-are-channels has no effect: digits is built in",
    f"{PRETRAIN} --layout gray": "--layout gray has no effect: digits is built in",
    f"{PRETRAIN} --background 0": "--background 0 has no effect: digits is built in",
    f"{PRETRAIN} --on-bad-file skip": "--on-bad-file skip has no effect: digits is built in",
    f"{PRETRAIN} --image-field jpg": "--image-field jpg has no effect: digits is built in",
    f"{PRETRAIN} --label-field cls": "--label-field cls has no effect: digits is built in",
    f"{PRETRAIN} --crop-scale 1 1 --crop-ratio 0.5 2": "--crop-ratio 0.5 2.0 has no effect: cropping is off",
    f"{PRETRAIN} --teacher-stages 3": "--teacher-stages 3 has no effect: the target is normalized_pixels",
    f"{PRETRAIN} --target pixels --teacher-mode eval": "--teacher-mode eval has no effect: the target is pixels",
    f"{PRETRAIN} --target frozen_teacher --teacher x --teacher-momentum 0.1 0.2": "the teacher is frozen",
    f"{PRETRAIN} --decoder linear --decoder-depth 3": "--decoder-depth 3 has no effect: the decoder is linear",
    f"{PRETRAIN} --epochs 3 --min-steps 7": "--min-steps 7 has no effect: --epochs sets the number, 3",
    f"{PRETRAIN} --steps 3 --min-epochs 7": "--min-epochs 7.0 has no effect: --steps sets the number, 3",
    f"{PRETRAIN} --normalization data": "--normalization data has no effect: no weights are given",
    f"{SCRATCH} --head-steps 0 --head-lr 0.1": "--head-lr 0.1 has no effect: the head is not trained alone",
    f"{SCRATCH} --encoder-lr-scale 0 --layer-decay 0.5": "--layer-decay 0.5 has no effect: the encoder is frozen",
    f"{SCRATCH} --normalization data": "--normalization data has no effect: no weights are given",
    f"{SCRATCH} --hide-cell 4": "--hide-cell 4 has no effect: no cells are hidden",
    f"{SCRATCH} --subset-seed 4": "--subset-seed 4 has no effect: all labels are used",
    f"{SCRATCH} --budget all --subset-index 4": "--subset-index 4 has no effect: all labels are used",
    f"{SCRATCH} --nested-budgets 5": "has no effect: all labels are used",
    f"{SCRATCH} --metric macro_f1": "--metric macro_f1 has no effect: training does not stop early",
    f"{COMPARE} --arms mrp scratch_same --compute-cap 9": "--compute-cap 9.0 has no effect: scratch_compute is not run",
    f"{COMPARE} --arms mrp scratch_same --scratch-schedules 9": "has no effect: no arm of --arms chooses its schedule",
    f"{COMPARE} --arms scratch_same scratch_best --pretrain.lr 0.02": "has no effect: no arm of --arms is pretrained",
    f"{COMPARE} --arms scratch_same scratch_best --pretrainings 2": "--pretrainings 2 has no effect: no arm of --arms",
    f"{COMPARE} --arms scratch_same scratch_best --design crossed": "--design crossed has no effect: no arm of --arms",
    f"{COMPARE} --arms scratch_same scratch_best --given run": "--given has no effect: none of the arms that start",
    f"{COMPARE} --pretrainings 1 --design crossed": "--design crossed has no effect: there is one pretraining",
    f"{COMPARE} --given none --normalization data": "--normalization data has no effect: no weights are given",
    f"{COMPARE} --finetune.head-steps 0 --finetune.head-lr 0.1": "--finetune.head-lr 0.1 has no effect",
    f"{COMPARE} --plan --yes": "--yes has no effect: --plan does none of it",
    f"{PRETRAIN} --plan --yes": "--yes has no effect: --plan does none of it",
    f"{COMPARE} --plan --json": "--json has no effect: --plan does none of it",
    f"{COMPARE} --plan --resume": "--resume has no effect: --plan does none of it",
    f"{COMPARE} --plan --overwrite": "--overwrite has no effect: --plan does none of it",
    "data check digits --workers 3": "--workers 3 has no effect: a check decodes every image once",
    "data check digits --cache-mib 3": "--cache-mib 3 has no effect: a check decodes every image once",
    "audit run --out audit --image-size 8 8": "--image-size 8 8 has no effect: images get the size",
    "audit run --out audit --channels 1": "--channels 1 has no effect: images get the size",
    f"{EXPORT} onnx --public": "--public has no effect: nothing is uploaded (--push-to-hub)",
    f"{EXPORT} timm --inputs normalized": "--inputs normalized has no effect: timm holds the network alone",
    f"{EXPORT} safetensors --inputs normalized": "--inputs normalized has no effect: safetensors holds the network",
}


@pytest.mark.slow
@pytest.mark.case("flags without effect in a mode were taken in silence")
@pytest.mark.parametrize("words", CASES)
def test_flags_without_effect(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2, and no file is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert CASES[words] in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.case("a flag that was forgotten was 'given = None is out of range'")
def test_a_forgotten_flag_is_named_as_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(f"{COMPARE} --arms mrp given --given none".split())
    assert "give weights with --given: given starts from them" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"^give weights with `given`: given starts from them$"):
        unmask.compare("digits", "run", arms=("mrp", "given"), given="none")


def test_the_table_names_fields_that_there_are() -> None:
    """Of every class in it."""
    for kind, idles in FLAGS_WITHOUT_EFFECT.items():
        assert is_dataclass(kind)
        usual = defaults_of(kind)
        for idle in idles:
            for name in idle.fields:
                if not name.startswith("flags."):
                    attrgetter(name)(usual)


def test_functions_say_so_too(tmp_path: Path) -> None:
    """Keyword arguments are named as they are; defaults of the recipe pass, whatever is beside them."""
    with pytest.raises(UserError, match=r"^`min_steps=7` has no effect: `epochs` sets the number, 3; leave it out$"):
        unmask.pretrain("digits", tmp_path / "run", epochs=3, min_steps=7)
    with pytest.raises(UserError, match=r"^`finetune.head_lr=0.1` has no effect"):
        unmask.compare("digits", tmp_path / "run", finetune={"head_lr": 0.1, "head_steps": 0})


@pytest.mark.case("settings that the data make idle were taken in silence")
def test_what_the_data_make_idle_is_a_note(tmp_path: Path) -> None:
    """Shares of splits that are given, a value that no pixel has, a background behind nothing; fields of no shards."""
    draw(
        tmp_path / "x",
        *(f"{split}/{name}/{i}.png" for split in ("train", "val", "test") for name in "ab" for i in "01"),
    )
    fields = {"val_share": 0.3, "test_share": 0.3, "split_seed": 4, "nodata": 300.0, "background": 7}
    told = " | ".join(load(tmp_path / "x", **fields).notes)
    checked = " | ".join(check_data(DataConfig(data=str(tmp_path / "x"), **fields), progress=False).warnings)
    for name in fields:
        assert f"`{name}=" in told
        assert f"`{name}=" in checked
    assert "no effect" not in " ".join(load(tmp_path / "x").notes)
    with pytest.raises(
        UserError, match=r'`label_field="cls"` has no effect: .* is neither a table, shards nor hf:PATH'
    ):
        load(tmp_path / "x", label_field="cls")
    drawn = draw(tmp_path / "y", *(f"{name}/{i}.png" for name in "ab" for i in range(9)))
    assert "no effect" not in " ".join(load(drawn, val_share=0.3, test_share=0.3, split_seed=4).notes)


def test_saturation_needs_three_channels() -> None:
    """A note of the run, for the channels are known when the images are."""
    assert saturation_note(AugmentConfig(saturation=0.4), 3) == saturation_note(AugmentConfig(), 1) == []
    assert (
        "saturation = 0.4 has no effect: images have 1 channel" in saturation_note(AugmentConfig(saturation=0.4), 1)[0]
    )
