"""Grammar of messages."""

from unmask.wording import plural


def test_one_is_singular_and_nothing_else() -> None:
    """The count as it is written decides."""
    assert [plural(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [plural(n, "class", "classes") for n in (1, 10)] == ["1 class", "10 classes"]
    assert [plural(n, "point") for n in ("1", "1.5")] == ["1 point", "1.5 points"]
