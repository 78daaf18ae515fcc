"""Which class an image counts for when images are dealt out."""

import numpy as np

from unmask.tasks.mask_strata import presence, strata_of


def test_an_image_counts_for_the_rarest_class_it_shows() -> None:
    masks = np.zeros((6, 2, 2), np.uint8)
    masks[1:4, 0] = 1
    masks[3, 1] = 2
    masks[4] = 255
    shown = presence(masks, 4)
    assert shown.sum(0).tolist() == [4, 3, 1, 0]
    assert strata_of(shown).tolist() == [0, 1, 1, 2, -1, 0]
    assert strata_of(shown, 2).tolist() == [0, 1, 1, 1, -1, 0]


def test_fewer_strata_on_request_and_none_lost() -> None:
    generator = np.random.default_rng(0)
    shown = generator.random((60, 9)) < 0.3
    shown[:, 0] = True
    everything = strata_of(shown)
    for most in (1, 3, 5):
        few = strata_of(shown, most)
        assert len(np.unique(few)) <= most
        assert (few >= 0).all()
        assert all(shown[i, few[i]] for i in range(60) if most > 1 or few[i] == 0)
    assert len(np.unique(everything)) > 5
