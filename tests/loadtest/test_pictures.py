"""Order, batches and digest of the pictures."""

from itertools import islice
from pathlib import Path

import pytest

from loadtest import CommandError
from loadtest.pictures import read_folder, read_pictures
from tests.support.fakes.load_target import folder_of


def test_pictures_are_repeated_and_none_is_lost(tmp_path: Path) -> None:
    pictures = read_folder(folder_of(tmp_path, 5))
    batches = list(pictures.batches(seed=1, size=8, count=21))
    assert [len(batch) for batch in batches] == [8, 8, 5]  # the last one too
    order = [number for batch in batches for number in batch]
    for turn in range(4):  # each turn has every picture once
        assert sorted(order[5 * turn : 5 * turn + 5]) == [0, 1, 2, 3, 4]
    assert order[:5] != order[5:10]
    assert order == list(islice(pictures.order(1), 21))
    assert order != list(islice(pictures.order(2), 21))
    assert {pictures.read(n) for n in order} == {b"picture %d" % n for n in range(5)}


def test_the_hash_is_the_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_folder(folder_of(tmp_path, 3))
    assert read_folder(tmp_path).sha256 == before.sha256
    monkeypatch.setattr("loadtest.pictures.CACHE_BYTES", 10)  # too many to keep
    uncached = read_folder(tmp_path)
    assert (uncached.sha256, uncached.cached) == (before.sha256, ())
    assert [uncached.read(n) for n in range(3)] == [before.read(n) for n in range(3)]
    (tmp_path / "01.jpg").write_bytes(b"another")
    assert read_folder(tmp_path).sha256 != before.sha256


def test_a_folder_without_pictures_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="has no picture"):
        read_folder(tmp_path)
    with pytest.raises(CommandError, match=r"cannot read .*: No such file"):
        read_folder(tmp_path / "none")
    with pytest.raises(CommandError, match=r"cannot read .*: No such file"):
        read_pictures([tmp_path / "none.jpg"])
