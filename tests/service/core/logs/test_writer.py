"""The log's thread: what it writes, and what it drops and counts instead of blocking or raising."""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator

import pytest

from service.core.logs.writer import MAX_QUEUED, LogWriter

PIPE_BYTES = 4096


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError as error:
            assert error.errno == errno.EBADF  # noqa: PT017  # the test closed it


def lines(count: int, size: int = 16) -> list[bytes]:
    return [f"{number:0{size - 1}}\n".encode() for number in range(count)]


def read_available(reader: int) -> bytes:
    os.set_blocking(reader, False)
    content = b""
    while True:
        try:
            content += os.read(reader, 1 << 16)
        except BlockingIOError:
            return content


def test_lines_are_written_in_order(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    writer = LogWriter(descriptor)
    for line in lines(100):
        writer.write(line)
    assert writer.flush()
    assert read_available(reader) == b"".join(lines(100))
    assert writer.dropped == 0


def test_a_stalled_reader_blocks_nothing_and_costs_only_counted_lines(
    pipe: tuple[int, int],
) -> None:
    reader, descriptor = pipe
    writer = LogWriter(descriptor)
    sent = lines(2 * MAX_QUEUED)
    for line in sent:
        writer.write(line)
    assert not writer.flush(0.2)
    content = b""
    while not writer.flush(0.05):
        content += read_available(reader)
    content += read_available(reader)
    received = content.splitlines(keepends=True)
    assert writer.dropped >= len(sent) - 2 * MAX_QUEUED + 1
    assert len(received) + writer.dropped == len(sent)
    assert received == sent[: len(received)]  # whole lines, in order


def test_a_full_disk_costs_only_counted_lines() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        writer = LogWriter(full.fileno())
        for line in lines(50):
            writer.write(line)
        assert writer.flush()
        assert writer.dropped == 50
        writer.write(b"one more\n")
        assert writer.flush()
        assert writer.dropped == 51


def test_a_closed_pipe_and_a_closed_descriptor(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    os.close(reader)
    for writer in (LogWriter(descriptor), LogWriter(-1)):
        for line in lines(3):
            writer.write(line)
        assert writer.flush()
        assert writer.dropped == 3


def test_a_line_cut_by_a_full_disk_does_not_spoil_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = bytearray()
    room = 20  # bytes, until there is room again

    def write(_: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = min(room, len(data))
        written.extend(data[:count])
        room -= count
        return count

    writer = LogWriter(1)
    monkeypatch.setattr(os, "write", write)
    for line in lines(3):
        writer.write(line)
    assert writer.flush()
    assert bytes(written) == lines(1)[0] + b"0000"
    assert writer.dropped == 2
    writer.write(b"nothing of it fits\n")
    assert writer.flush()
    assert writer.dropped == 3
    room = 1000
    writer.write(b"whole\n")
    writer.write(b"next\n")
    assert writer.flush()
    assert bytes(written) == lines(1)[0] + b"0000\nwhole\nnext\n"
    assert writer.dropped == 3


def test_a_descriptor_that_another_process_made_non_blocking(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    os.set_blocking(descriptor, False)
    writer = LogWriter(descriptor)
    sent = lines(PIPE_BYTES // 8)  # twice what the pipe holds
    for line in sent:
        writer.write(line)
    assert not writer.flush(0.2)
    content = b""
    while not writer.flush(0.05):
        content += read_available(reader)
    content += read_available(reader)
    assert content == b"".join(sent)
    assert writer.dropped == 0


def test_threads_lose_no_line_and_no_count(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    writer = LogWriter(descriptor)
    each, callers = 1500, 8

    def call() -> None:
        for line in lines(each):
            writer.write(line)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(thread.name == "log" for thread in threading.enumerate()) >= 1
    content = b""
    while not writer.flush(0.05):
        content += read_available(reader)
    content += read_available(reader)
    assert content.count(b"\n") + writer.dropped == each * callers
    assert writer.dropped > 0


def test_a_burst_is_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []

    def write(_: int, data: bytes) -> int:
        calls.append(data)
        return len(data)

    writer = LogWriter(1)
    monkeypatch.setattr(os, "write", write)
    for line in lines(500):
        writer.write(line)
    deadline = time.monotonic() + 5
    while b"".join(calls) != b"".join(lines(500)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(calls) < 50
