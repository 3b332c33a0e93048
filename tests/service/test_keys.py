"""The key file: its format, reloading, what is rejected, and the command that makes keys."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service import keys
from service.core.logs.settings import SettingsError
from service.keys import KeyFile, parse
from tests.support.project import ROOT

DIGEST = hashlib.sha256(b"k").hexdigest()


def line(name: str, key: str) -> str:
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()}\n"


def test_names_digests_comments_and_blank_lines() -> None:
    content = f"# c\n\n  a.b-c_d \t {DIGEST.upper()}  # Ann's\nb {DIGEST}".encode()
    assert parse(content) == [("a.b-c_d", bytes.fromhex(DIGEST)), ("b", bytes.fromhex(DIGEST))]


@pytest.mark.parametrize(
    "bad",
    [
        *(f"{DIGEST}\n", f"a {DIGEST}0\n", f"a b {DIGEST}\n", "a plain-text-key\n"),
        f"--help {DIGEST}\n",
    ],
)
def test_a_bad_line_is_named_and_not_quoted(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "keys"
    path.write_text(bad)
    with pytest.raises(SettingsError) as caught:
        KeyFile(path)
    expected = "line 1 is not a name and a SHA-256 in hexadecimal"
    assert str(caught.value) == f"DETECT_API_KEYS_FILE={path}: {expected}"


def test_files_that_are_not_small_regular_text(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        KeyFile(path)
    path.write_bytes(b"#" * (keys.MAX_BYTES + 1))
    with pytest.raises(SettingsError, match="is larger than 1048576 bytes"):
        KeyFile(path)
    with pytest.raises(SettingsError, match=r"cannot be read \(Is a directory\)"):
        KeyFile(tmp_path)
    with pytest.raises(SettingsError, match="is not a regular file"):
        KeyFile(Path("/dev/zero"))


def test_a_fifo_is_rejected_at_once(tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    environment = {**os.environ, "DETECT_API_KEYS_FILE": str(fifo)}
    command = [sys.executable, "-m", "service"]
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30
    )
    assert run.returncode == 2
    assert run.stderr == f"DETECT_API_KEYS_FILE={fifo}: is not a regular file\n"


def test_an_edit_in_place_with_the_same_size_and_time_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "REFRESH_S", 0.0)
    path = tmp_path / "keys"
    path.write_text(line("a", "old"))
    before = path.stat()
    known = KeyFile(path)
    assert known.owner("old") == "a"
    with path.open("r+") as file:
        file.write(line("a", "new"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    for field in ("st_size", "st_mtime_ns", "st_ino"):
        assert getattr(after, field) == getattr(before, field)
    assert known.owner("new") == "a"
    assert known.owner("old") is None


def test_a_file_replaced_by_a_fifo_or_a_directory_keeps_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "REFRESH_S", 0.0)
    path = tmp_path / "keys"
    path.write_text(line("a", "k"))
    known = KeyFile(path)
    descriptors = len(os.listdir("/proc/self/fd"))
    path.unlink()
    for make in (os.mkfifo, os.mkdir):
        make(path)
        for _ in range(3):
            assert known.owner("k") == "a"
        assert len(os.listdir("/proc/self/fd")) == descriptors
        (path.unlink if make is os.mkfifo else path.rmdir)()
    path.write_text(line("b", "k"))
    assert known.owner("k") == "b"


def test_the_file_is_read_at_most_once_per_interval(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(line("a", "k"))
    known = KeyFile(path)
    path.write_text(line("b", "k"))
    assert known.owner("k") == "a"
    deadline = time.monotonic() + 10 * keys.REFRESH_S
    while known.owner("k") != "b":
        assert time.monotonic() < deadline


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    module = [sys.executable, "-m", "service.keys"]
    return subprocess.run([*module, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_a_new_key_matches_its_line(tmp_path: Path) -> None:
    made = command("cam-8")
    assert made.returncode == 0
    key = made.stderr.split()[-1]
    path = tmp_path / "keys"
    path.write_text(made.stdout)
    assert len(key) == 43
    assert key not in made.stdout
    known = KeyFile(path)
    assert known.owner(key) == "cam-8"
    assert known.owner(key[:-1]) is None


def test_help_makes_no_key() -> None:
    shown = command("--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith("usage: python -m service.keys [-h] NAME")
    assert shown.stderr == ""


def test_a_key_is_not_shown_if_its_line_cannot_be_written() -> None:
    with open("/dev/full", "wb") as full:
        failed = subprocess.run(
            [sys.executable, "-m", "service.keys", "cam-8"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert failed.returncode == 1
    assert failed.stderr == (
        "error: the line cannot be written (No space left on device); no key was made.\n"
    )


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["two words"], ["#"], ["--name"], ["-a"]])
def test_unusable_names_are_rejected(arguments: list[str]) -> None:
    wrong = command(*arguments)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "usage: python -m service.keys [-h] NAME" in wrong.stderr
