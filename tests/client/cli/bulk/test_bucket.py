"""`detect bulk` with buckets: every object is a row, and each shard is written once."""

import json
import signal
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError, IncompleteReadError
from detect_client.cli.bulk.bucket import Bucket
from detect_client.cli.main import main
from detect_client.cli.options import Stop

from tests.client.cli.bulk.results import rows_in, worker
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import wait_for

HOSTILE = ["a//b.jpg", "../up.jpg", "./here.jpg", "a b+c&d=%20#?.jpg", "\N{SNOWMAN}e\u0301.jpg"]


def test_every_key_of_a_bucket_is_a_row(s3: Any, url: str) -> None:
    for number, key in enumerate(HOSTILE):
        s3.put_object(Bucket="pics", Key=f"hostile/{key}", Body=picture(20 + number, 20))
    s3.put_object(Bucket="pics", Key="hostile/folder/", Body=b"")
    s3.put_object(Bucket="pics", Key="hostile-not/x.jpg", Body=b"")
    assert main(["bulk", "s3://pics/hostile", "s3://out/hostile", "--url", url]) == 0
    rows = rows_in(s3, "hostile")
    assert {row["key"]: row["width"] for row in rows} == {
        key: 20 + number for number, key in enumerate(HOSTILE)
    }
    assert all(row["etag"] and row["size"] for row in rows)


def deny(s3: Any, keys: str) -> None:
    """Reading these objects is forbidden, as by a bucket policy of AWS."""
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject"}
    statement["Resource"] = f"arn:aws:s3:::pics/{keys}"
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    s3.put_bucket_policy(Bucket="pics", Policy=json.dumps(policy))


def test_missing_forbidden_changed_and_large_objects(
    s3: Any, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abcde":
        s3.put_object(Bucket="pics", Key=f"lost/{name}.jpg", Body=picture())
    s3.put_object(Bucket="pics", Key="lost/e.jpg", Body=picture() + bytes(5000))
    read = Bucket.read

    def read_later(self: Bucket, key: str, etag: str = "") -> bytes:
        if key == "b.jpg":  # after it was listed
            s3.delete_object(Bucket="pics", Key="lost/b.jpg")
        if key == "d.jpg":
            s3.put_object(Bucket="pics", Key="lost/d.jpg", Body=picture(80, 80))
        return read(self, key, etag)

    monkeypatch.setattr(Bucket, "read", read_later)
    deny(s3, "lost/c.jpg")
    try:
        command = ["bulk", "s3://pics/lost/", "s3://out/lost", "--url", url]
        assert main([*command, "--max-bytes", "5000"]) == 0
    finally:
        s3.delete_bucket_policy(Bucket="pics")
    a, b, c, d, e = rows_in(s3, "lost")
    assert a["error"] is None
    assert "NoSuchKey" in b["error"]
    assert "Forbidden" in c["error"]
    assert d["error"] == "The object has changed since it was listed."
    assert e["error"].endswith("bytes; --max-bytes is 5000")
    assert "b.jpg: An error occurred (NoSuchKey)" in capsys.readouterr().err


def test_wrong_permissions_are_not_written_as_results(
    s3: Any, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        s3.put_object(Bucket="pics", Key=f"denied/{name}.jpg", Body=picture())
    command = ["bulk", "s3://pics/denied", "s3://out/denied", "--url", url]
    deny(s3, "*")
    try:
        assert main(command) == 1
    finally:
        s3.delete_bucket_policy(Bucket="pics")
    assert "None of 3 objects can be read" in capsys.readouterr().err
    assert s3.list_objects_v2(Bucket="out", Prefix="denied/")["KeyCount"] == 1  # the manifest
    assert main(command) == 0
    assert [row["error"] for row in rows_in(s3, "denied")] == [None, None, None]


def test_a_shard_is_written_once(s3: Any) -> None:
    bucket = Bucket("out", "once")
    assert bucket.put_new("part", b"first")
    assert not bucket.put_new("part", b"second")
    assert bucket.read("part") == b"first"


def test_a_write_that_meets_another_is_repeated(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 answers 409 while another conditional write of the key is under way."""
    bucket = Bucket("out", "conflict")
    put, calls = bucket._s3.put_object, 0

    def conflict(**arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < 3:
            code = "ConditionalRequestConflict"
            raise ClientError({"Error": {"Code": code, "Message": ""}}, "PutObject")
        return put(**arguments)

    monkeypatch.setattr(bucket._s3, "put_object", conflict)
    monkeypatch.setattr("detect_client.cli.bulk.bucket.PAUSE_S", 0)
    assert bucket.put_new("part", b"content")
    assert bucket.read("part") == b"content"
    calls = -100
    with pytest.raises(Stop, match="again and again"):
        bucket.put_new("part", b"content")


def test_a_body_that_breaks_off_is_read_again(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket("out", "broken")
    bucket.put_new("part", b"content")
    get, calls = bucket._s3.get_object, 0

    class Broken:
        def read(self) -> bytes:
            raise IncompleteReadError(actual_bytes=3, expected_bytes=7)

    def get_object(**arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return {"Body": Broken()} if calls < 3 else get(**arguments)

    monkeypatch.setattr(bucket._s3, "get_object", get_object)
    assert bucket.read("part") == b"content"
    calls = -100
    with pytest.raises(Stop, match="3 read, but total bytes expected is 7"):
        bucket.read("part")


@pytest.mark.slow
def test_two_workers_killed_three_times(s3: Any, aws: Any, url: str) -> None:
    count, bad = 1200, set(range(0, 1200, 100))
    for number in range(count):
        body = b"rubbish" if number in bad else picture(16 + number % 50, 16)
        s3.put_object(Bucket="pics", Key=f"many/{number:05}.jpg", Body=body)

    def done() -> int:
        answer = s3.list_objects_v2(Bucket="out", Prefix="many/")
        return sum("/part-" in entry["Key"] for entry in answer.get("Contents", ()))

    arguments = ["s3://pics/many", "s3://out/many", "--url", url, "--shard-size", "50"]
    workers = [worker(aws[1], *arguments, "--shard", f"{index}/2") for index in (0, 1)]
    for kill in range(3):
        wait_for(lambda kill=kill: done() > 2 + 4 * kill, 60)  # type: ignore[misc]
        victim = workers[kill % 2]
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
        workers[kill % 2] = worker(aws[1], *arguments, "--shard", f"{kill % 2}/2")
    for process in workers:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    rows = rows_in(s3, "many")
    assert Counter(row["key"] for row in rows) == {f"{n:05}.jpg": 1 for n in range(count)}
    assert {int(row["key"][:5]) for row in rows if row["error"]} == bad
    assert all(row["width"] == 16 + int(row["key"][:5]) % 50 for row in rows if not row["error"])
