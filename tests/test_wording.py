"""Grammar of messages."""

from unmask.wording import first_of, in_percent, plural


def test_one_is_singular_and_nothing_else() -> None:
    """The count as it is written decides."""
    assert [plural(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [plural(n, "class", "classes") for n in (1, 10)] == ["1 class", "10 classes"]
    assert [plural(n, "point") for n in ("1", "1.5")] == ["1 point", "1.5 points"]


def test_a_level_below_one_is_not_called_a_hundred_percent() -> None:
    """The first look of a long plan has a level of 99.83 %."""
    levels = (0.9, 0.95, 0.975, 0.99833, 0.99998, 1.0)
    assert [in_percent(one) for one in levels] == ["90%", "95%", "97.5%", "99.8%", "99.998%", "100%"]


def test_the_first_of_many_names_end_in_dots() -> None:
    assert first_of([]) == ""
    assert first_of("abcde") == "a, b, c, d, e"
    assert first_of("abcdef") == "a, b, c, d, e, ..."
    assert first_of(range(3), 2) == "0, 1, ..."
