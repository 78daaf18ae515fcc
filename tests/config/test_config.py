"""Configurations: validated on creation, equal to themselves read back, and errors that name what is wrong."""

import dataclasses
import json
import math
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.config import (
    AuditConfig,
    AugmentConfig,
    ClassifyConfig,
    ClassifyRecipe,
    CompareConfig,
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimizerConfig,
    PretrainConfig,
    PretrainRecipe,
    TargetConfig,
    from_json,
    to_json,
)
from unmask.data.sources.multiview import MultiViewConfig
from unmask.errors import UserError
from unmask.randomness import uniform
from unmask.recipes import RECIPES

masks = st.builds(
    MaskConfig,
    cell=st.none() | st.integers(1, 64),
    mask_ratio=st.floats(0, 1, exclude_min=True, exclude_max=True),
    mask_pattern=st.sampled_from(["random", "block", "grid"]),
)
optimizers = st.builds(
    OptimizerConfig,
    lr=st.floats(1e-6, 1),
    batch_size=st.integers(1, 4096),
    steps=st.none() | st.integers(1, 10**6),
    betas=st.tuples(st.floats(0, 0.99), st.floats(0, 0.999)),
)
encoders = st.builds(
    EncoderConfig,
    encoder=st.sampled_from(["resnet18", "patchnet"]),
    encoder_options=st.none()
    | st.dictionaries(st.sampled_from(["depths", "layers", "qkv_bias"]), st.lists(st.integers()) | st.booleans()),
)
pretrainings = st.builds(
    PretrainConfig,
    encoder=encoders,
    recipe=st.builds(PretrainRecipe, mask=masks, optimizer=optimizers),
    seed=st.integers(0, 2**31),
)


@given(pretrainings)
def test_round_trip_through_json_text(config: PretrainConfig) -> None:
    """from_json(to_json(c)) == c, through real JSON text."""
    assert from_json(PretrainConfig, json.loads(json.dumps(to_json(config)))) == config


@pytest.mark.parametrize("kind", [ClassifyConfig, CompareConfig, PretrainConfig])
def test_defaults_round_trip(kind: Any) -> None:
    """The defaults of every stage too."""
    assert from_json(kind, json.loads(json.dumps(to_json(kind())))) == kind()


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_are_valid_and_round_trip(name: str) -> None:
    """Every named recipe can be built and stored."""
    recipe = RECIPES[name]()
    assert from_json(type(recipe), json.loads(json.dumps(to_json(recipe)))) == recipe


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def paths(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where a JSON object holds something, itself included."""
    inner = value.items() if isinstance(value, dict) else ()
    return [path, *(found for name, part in inner for found in paths(part, (*path, name)))]


@pytest.mark.slow
@given(st.sampled_from(paths(to_json(PretrainConfig()))), anything)
def test_any_json_gives_a_config_or_a_user_error(path: tuple[str, ...], value: Any) -> None:
    """One part of a valid file is replaced: a line that names it, or the configuration that says this."""
    content = {"root": to_json(PretrainConfig())}
    *within, last = ("root", *path)
    part = content
    for name in within:
        part = part[name]
    part[last] = value
    try:
        config = from_json(PretrainConfig, content["root"])
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert not path or path[-1] in str(error) or isinstance(value, dict)  # noqa: PT017
    else:
        found: Any = to_json(config)
        for name in path:
            found = found[name]
        assert not path or found == value or (value == {} and isinstance(found, dict))


@given(st.sampled_from(["mask", "data", "seed", "recipe"]), st.integers() | st.text() | st.lists(st.integers()))
def test_mistyped_sections_are_named(field: str, value: Any) -> None:
    """The path of the field is in the message."""
    try:
        from_json(PretrainConfig, {field: value})
    except UserError as error:
        assert field in str(error)  # noqa: PT017
    else:
        assert field == "seed"
        assert isinstance(value, int)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, math.nan])
def test_ratio_out_of_range_is_never_another_value(ratio: float) -> None:
    """A ratio of 0 is not "unset"; the message names field, value and range."""
    with pytest.raises(UserError, match=r"mask_ratio = .* is out of range: expected \(0, 1\)"):
        MaskConfig(mask_ratio=ratio)


def test_epochs_and_steps_exclude_each_other() -> None:
    """Neither is ignored: the message has both values. Schedules of given steps drop epochs."""
    with pytest.raises(UserError, match="epochs = 3 has no effect beside steps = 5"):
        OptimizerConfig(epochs=3, steps=5)
    assert OptimizerConfig(epochs=3).for_steps(5) == OptimizerConfig(steps=5)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: DataConfig(val_share=0.0), "val_share"),
        (lambda: DataConfig(data=""), "data"),
        (lambda: OptimizerConfig(batch_size=10, accumulate=3), "accumulate"),
        (lambda: OptimizerConfig(lr=0.0), "lr"),
        (lambda: CompareConfig(budgets=(10, 10)), "budgets"),
        (lambda: ClassifyConfig(budget=0), "budget"),
    ],
)
def test_wrong_values_are_named(make: Any, field: str) -> None:
    """Field first, then what is allowed."""
    with pytest.raises(UserError, match=f"^{field} = .*expected "):
        make()


@pytest.mark.parametrize(
    "kind", [AuditConfig, ClassifyConfig, CompareConfig, DataConfig, MultiViewConfig, PretrainConfig]
)
def test_every_seed_is_one_that_generators_take(kind: Any) -> None:
    """0 to 2^63 - 1; anything else is refused with the field's name, not by a generator in the middle of a run."""
    fields = [field.name for field in dataclasses.fields(kind) if field.name in ("seed", "split_seed", "subset_seed")]
    assert fields
    for field in fields:
        assert uniform(getattr(kind(**{field: 2**63 - 1}), field), "", 0, [0], 1).shape == (1, 1)
        for value in (-1, 2**63, 99999999999999999999):
            with pytest.raises(UserError, match=f"^{field} = {value} is out of range: expected 0 to 2"):
                kind(**{field: value})


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize(
    "kind", [DataConfig, AugmentConfig, PretrainConfig, ClassifyRecipe, MaskConfig, OptimizerConfig]
)
def test_no_configuration_holds_what_its_file_cannot(kind: Any, value: float) -> None:
    """A config.json with an infinite number or NaN could not be read again."""
    for name, hint in typing.get_type_hints(kind).items():
        if "float" not in str(hint):
            continue
        for wrong in _with_wrong_number(str(hint), value):
            with pytest.raises(UserError, match=f"{name}|speed"):
                kind(**{name: wrong})


def _with_wrong_number(hint: str, value: float) -> list[Any]:
    """Values of a type of which one number is wrong."""
    if "dict" in hint:
        return [{"speed": value}]
    return [(0.5, value), (value, 0.9)] if "tuple" in hint else [value]


def test_frozen() -> None:
    """A configuration cannot be changed after it was validated."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        MaskConfig().mask_ratio = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CompareConfig(pretrained=(Path("a"),), pretrainings=3), "pretrainings = 3 has no effect"),
    ],
)
def test_what_has_no_effect_says_so(make: Any, said: str) -> None:
    """A setting of something that is not run is no silent setting."""
    with pytest.raises(UserError, match=f"^{said}"):
        make()


def test_settings_that_have_an_effect_are_taken() -> None:
    """The same, where what they set is run."""
    assert CompareConfig(pretrained=(Path("a"),), pretrainings=1).pretrainings == 1
    assert CompareConfig(arms=("mrp", "scratch_compute"), compute_cap=9.0).compute_cap == 9
    assert TargetConfig(target="ema_teacher", teacher_stages=3).teacher_stages == 3
