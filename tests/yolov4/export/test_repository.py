import os
import threading
from pathlib import Path

import pytest

from yolov4.export import repository
from yolov4.export.repository import publish, versions


def write(directory: Path) -> None:
    (directory / "model").write_text("whole")


def test_versions_are_numbered_from_one(tmp_path: Path) -> None:
    model = tmp_path / "repository" / "voc"
    assert [publish(model, write) for _ in range(3)] == [model / "1", model / "2", model / "3"]
    assert sorted(child.name for child in model.iterdir()) == ["1", "2", "3"]
    assert (model / "3" / "model").read_text() == "whole"


def test_the_next_version_follows_the_highest(tmp_path: Path) -> None:
    for name in ("2", "10", "old", ".unfinished-1", "11.bak"):
        (tmp_path / name).mkdir()
    assert publish(tmp_path, write) == tmp_path / "11"
    assert versions(tmp_path) == [2, 10, 11]


def test_while_it_is_written_a_version_has_a_name_tensorflow_serving_passes_over(
    tmp_path: Path,
) -> None:
    seen: list[str] = []

    def look(directory: Path) -> None:
        write(directory)
        seen.extend(child.name for child in tmp_path.iterdir())
        assert directory.parent == tmp_path  # the same file system, or there is no rename

    publish(tmp_path, look)
    assert len(seen) == 1
    assert not seen[0].isdecimal()


def test_a_version_is_readable_by_other_users(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        assert publish(tmp_path, write).stat().st_mode & 0o777 == 0o755
    finally:
        os.umask(umask)


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    def fail(directory: Path) -> None:
        write(directory)
        raise failure

    with pytest.raises(failure):
        publish(tmp_path / "repository" / "voc", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    publish(tmp_path / "voc", write)

    def fail(directory: Path) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        publish(tmp_path / "voc", fail)
    assert [child.name for child in (tmp_path / "voc").iterdir()] == ["1"]


def test_a_version_that_appears_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, write)
    (tmp_path / "1" / "model").write_text("first")
    answers = iter([[], [1]])  # as if the other exporter came between looking and renaming
    monkeypatch.setattr(repository, "versions", lambda model: next(answers))
    assert publish(tmp_path, write) == tmp_path / "2"
    assert (tmp_path / "1" / "model").read_text() == "first"


def test_exporters_at_once_get_a_version_each(tmp_path: Path) -> None:
    together = threading.Barrier(8)
    published: list[Path] = []

    def export(number: int) -> None:
        def write(directory: Path) -> None:
            (directory / "model").write_text(str(number))
            together.wait()

        published.append(publish(tmp_path, write))

    threads = [threading.Thread(target=export, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions(tmp_path) == list(range(1, 9))
    assert sorted(int((path / "model").read_text()) for path in published) == list(range(8))
