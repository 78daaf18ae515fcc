"""What label draws have in common is said, with the share that they really have in common."""

from unmask.comparison.notes import overlap_notes


def test_draws_without_common_images_need_no_note() -> None:
    assert overlap_notes({1: 0.0, 10: 0.0}) == []


def test_a_share_is_said_and_whole_classes_are_one_draw() -> None:
    share, same = overlap_notes({10: 0.25, 20: 1.0})
    assert "With 10 labels per class" in share
    assert "share about 25% of their images" in share
    assert "the draws are the same images" in same
    assert "over training seeds" in same
