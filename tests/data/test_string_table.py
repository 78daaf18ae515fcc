"""Many names in one buffer behave as a tuple of strings, in a fraction of its memory."""

import pickle
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.data.string_table import Texts, take
from unmask.data.threads import IN_FLIGHT, mapped

ODD = "x\udcff.png"  # a file's name that is no UTF-8


@given(st.lists(st.text()))
def test_texts_are_what_was_put_in(words: list[str]) -> None:
    words = [word.encode("utf-8", "replace").decode() for word in words] + [ODD]
    texts = Texts.of(words)
    assert texts == words
    assert list(texts) == words
    assert texts[-1] == ODD
    assert texts[1:] == words[1:]
    assert pickle.loads(pickle.dumps(texts)) == words
    assert take(texts, np.asarray([len(words) - 1, 0])) == (words[-1], words[0])
    assert take(tuple(words), np.asarray([len(words) - 1, 0])) == (words[-1], words[0])


def test_texts_differ_where_a_word_or_the_length_does() -> None:
    texts = Texts.of(["a", "bc"])
    assert texts != ["a", "bd"]
    assert texts != ["a"]
    assert texts != ["ab", "c"]
    assert texts != 7
    with pytest.raises(IndexError):
        texts[2]


def test_a_name_takes_its_letters_and_16_bytes() -> None:
    texts = Texts.of(f"{i:06}" for i in range(10_000))
    size = sys.getsizeof(texts.content) + texts.starts.nbytes + texts.ends.nbytes
    assert size < 10_000 * (6 + 16) + 100


def test_rows_are_mapped_in_order_and_few_are_in_flight() -> None:
    count = 2 * IN_FLIGHT + 5
    started: list[int] = []

    def square(row: int) -> int:
        started.append(row)
        return row * row

    results = mapped(square, count)
    assert next(results) == 0
    assert len(started) <= IN_FLIGHT
    assert [0, *results] == [row * row for row in range(count)]
