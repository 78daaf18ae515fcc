"""Values by their share of the steps of a training."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.config import MaskConfig, PretrainRecipe
from unmask.config.schedule import Schedule, parse_schedule, parts, read_size
from unmask.errors import UserError


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(1, 500))
def test_every_value_gets_its_share_of_the_steps(weights: list[int], total: int) -> None:
    """In order, to the nearest step; the last step has the last value unless its share is less than half a step."""
    shares = [weight / sum(weights) for weight in weights]
    text = ",".join(f"{index}:{share!r}" for index, share in enumerate(shares))
    schedule = parse_schedule("field", text, int)
    taken = [schedule.at(step, total) for step in range(total)]
    assert taken == sorted(taken)
    for index, share in enumerate(shares):
        assert abs(taken.count(index) - share * total) <= 1
    assert schedule.mean(float) == pytest.approx(sum(index * share for index, share in enumerate(shares)))


@pytest.mark.parametrize(
    "text",
    ["", "64", "64:0.5", "64:0.7,96:0.4", "64:0,96:1", "big:1", "64:x", "64:nan,96:1", "0:1", "1x2x3:1", "8:-1,9:2"],
)
def test_what_is_no_schedule_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"size_schedule = .* shares of the steps that sum to 1"):
        PretrainRecipe(size_schedule=text)


def test_sizes_are_squares_or_height_by_width() -> None:
    found = parse_schedule("size_schedule", "64:0.7,96x128:0.3", read_size)
    assert found == Schedule(((64, 64), (96, 128)), (0.7, 1.0))


def test_parts_are_those_in_which_nothing_changes() -> None:
    one, two = Schedule((1, 2), (0.5, 1.0)), Schedule((1, 2, 3), (0.25, 0.5, 1.0))
    assert parts(one, two) == [(0.0, 0.25), (0.25, 0.25), (0.5, 0.5)]


def test_the_last_values_are_those_of_the_run() -> None:
    """Otherwise the configuration would say two things."""
    recipe = PretrainRecipe(size_schedule="16:0.5,32:0.5")
    assert recipe.sizes((32, 32)).values == ((16, 16), (32, 32))
    with pytest.raises(UserError, match=r"ends at 32x32, the images are 64x64: give `image_size=\(32, 32\)`"):
        recipe.sizes((64, 64))
    with pytest.raises(
        UserError, match=r"mask_ratio_schedule ends at 0\.75, mask_ratio is 0\.6: give `mask_ratio=0\.75`"
    ):
        MaskConfig(mask_ratio_schedule="0.4:0.5,0.75:0.5")
    with pytest.raises(UserError, match="mask_ratio_max"):
        MaskConfig(mask_ratio_schedule="0.4:0.5,0.6:0.5", mask_ratio_max=0.8)
    with pytest.raises(UserError, match=r"mask_ratio_schedule = 1\.2"):
        MaskConfig(mask_ratio_schedule="1.2:0.5,0.6:0.5")


def test_passes_count_masks_and_pixels() -> None:
    """Two masks of images of which half have a quarter of the pixels."""
    assert PretrainRecipe().passes == 1
    recipe = PretrainRecipe(size_schedule="16:0.5,32:0.5", mask=MaskConfig(masks=2))
    assert recipe.passes == 2 * (0.5 / 4 + 0.5)
    assert replace(recipe, size_schedule=None).passes == 2
