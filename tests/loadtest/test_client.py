"""HTTP as the load client speaks it: requests as bytes, responses over real sockets."""

import asyncio
from typing import Any

import pytest

from loadtest import CommandError
from loadtest.client import BROKEN, Broken, Connection, Response, Service, Unreachable, ask
from tests.support.project import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"


def exchange(*responses: bytes, host: str = "127.0.0.1", at: str = "") -> tuple[list[Any], int]:
    """What a connection reads from these bytes, one request each; and how many it opened."""
    left, opened = list(responses), 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        try:
            while left and await reader.read(4096):
                data = left.pop(0)
                writer.write(data)
                if b"close" in data or b"half" in data:
                    break
        finally:
            writer.close()

    async def run() -> list[Any]:
        async with await asyncio.start_server(talk, host, 0) as server:
            port = server.sockets[0].getsockname()[1]
            connection = Connection(Service.at(f"http://{at or host}:{port}/under/"))
            results: list[Any] = []
            for _ in responses:
                try:
                    results.append(await connection.exchange(b"POST /\r\n\r\n", 5))
                except Broken as error:
                    results.append(error)
            connection.close()
            return results

    return asyncio.run(run()), opened


def test_bodies_with_a_length_in_chunks_and_until_the_end() -> None:
    chunks = (
        b"HTTP/1.1 503 -\r\nTransfer-Encoding: chunked\r\nRetry-After: 7\r\n\r\n"
        b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    )
    until_end = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"
    results, opened = exchange(OK, chunks, OK, until_end, OK)
    ok = Response(200, b"abc")
    assert results == [ok, Response(503, b"abc", 7.0), ok, ok, ok]
    assert opened == 2  # the first was kept until the service closed it


def test_a_truncated_response_and_another_protocol_break_the_connection() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nhalf"
    results, _ = exchange(half, OK, b"SSH-2.0 close\r\n\r\n", OK)
    assert [type(result) for result in results] == [Broken, Response, Broken, Response]


@pytest.mark.parametrize("status", [520, 299, 599])
def test_an_unregistered_status_is_a_status(status: int) -> None:
    """Cloudflare's 520 was counted as a broken connection."""
    response = b"HTTP/1.1 %d Unknown\r\nContent-Length: 2\r\n\r\nno" % status
    results, opened = exchange(response, OK)
    assert (results, opened) == ([Response(status, b"no"), Response(200, b"abc")], 1)


def test_an_unregistered_status_is_the_kind_of_failure() -> None:
    async def run() -> list[Any]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 520 -\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            service = Service.at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            connection = Connection(service)
            outcome = await ask(connection, service.detect(b"jpeg"), [0])
            connection.close()
            return list(outcome.answers)

    assert asyncio.run(run()) == ["520"] != [BROKEN]


def test_an_interim_response_is_skipped() -> None:
    results, _ = exchange(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, OK)
    assert results == [Response(200, b"abc")] * 2


def test_a_refused_connection_is_unreachable() -> None:
    connection = Connection(Service.at(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(Unreachable):
        asyncio.run(connection.exchange(b"", 5))


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://a", "http://", "http://a:port"])
def test_what_is_not_a_url(url: str) -> None:
    with pytest.raises(CommandError, match="--url"):
        Service.at(url)


def test_the_path_of_the_url_precedes_the_call() -> None:
    service = Service.at("http://host:81/models/")
    request = service.detect(b"\x89PNG...", "?max_detections=3")
    assert request.startswith(b"POST /models/detect?max_detections=3 HTTP/1.1\r\nHost: host:81\r\n")
    assert b"Content-Type: image/png\r\n" in request
    assert request.endswith(b"Content-Length: 7\r\n\r\n\x89PNG...")


@pytest.mark.parametrize(
    ("url", "host", "header"),
    [
        ("http://[::1]:81", "::1", b"[::1]:81"),
        ("http://[2001:db8::7]/under", "2001:db8::7", b"[2001:db8::7]:80"),
        ("http://[fe80::1%25eth0]:81", "fe80::1%eth0", b"[fe80::1]:81"),
        ("http://[fe80::1%eth0]:81", "fe80::1%eth0", b"[fe80::1]:81"),
        ("http://127.0.0.1:81", "127.0.0.1", b"127.0.0.1:81"),
    ],
)
def test_ipv6_hosts_have_brackets_and_zones_are_not_sent(
    url: str, host: str, header: bytes
) -> None:
    service = Service.at(url)
    assert service.host == host
    assert b"\r\nHost: %b\r\n" % header in service.request("GET /readyz")


@pytest.mark.parametrize("at", ["[::1]", "[::1%251]"])
def test_ipv6_addresses_connect(at: str) -> None:
    results, opened = exchange(OK, OK, host="::1", at=at)
    assert (results, opened) == ([Response(200, b"abc")] * 2, 1)


def test_the_key_is_a_bearer_token() -> None:
    assert b"\r\nAuthorization: Bearer s3cret\r\n" in Service.at("http://a", "s3cret").detect(b"x")
    assert b"Authorization" not in Service.at("http://a").detect(b"x")
