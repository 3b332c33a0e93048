"""API key authentication through a real gateway: accepted and rejected keys, the log, rotation."""

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import ROOT

KEYS = {"cam-7": "7" * 43, "shop.web": "s" * 43}


def line(name: str, key: str) -> str:
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()}\n"


def replace(path: Path, text: str) -> None:
    """As a deployment does it: whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    # The last line is a mistake: no request may have an empty key.
    path.write_text("".join(["# who may\n\n", *map(line, KEYS, KEYS.values()), line("none", "")]))
    return path


@pytest.fixture(scope="module")
def gateway(keys_file: Path) -> Iterator[GatewayProcess]:
    with (
        FakeBackend() as backend,
        GatewayProcess(backend=backend.target, api_keys_file=keys_file) as process,
    ):
        yield process


def post(
    gateway: GatewayProcess, headers: dict[str, str], path: str = "/detect", data: bytes = b""
) -> httpx.Response:
    files = {"image": ("a.jpg", data or picture())}
    return gateway.http.post(path, files=files, headers=headers)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def line_of(gateway: GatewayProcess, response: httpx.Response) -> dict[str, Any]:
    def lines() -> list[dict[str, Any]]:
        asked = response.headers["x-request-id"]
        return [found for found in gateway.log("request") if found["request_id"] == asked]

    wait_for(lines)
    return lines()[0]


@pytest.mark.parametrize("path", ["/detect", "/detect/batch", "/detect?format=image"])
def test_a_known_key_is_accepted_and_its_owner_logged(gateway: GatewayProcess, path: str) -> None:
    for headers, name in (
        (bearer(KEYS["cam-7"]), "cam-7"),
        ({"authorization": f"bearer  {KEYS['shop.web']}"}, "shop.web"),
        ({"X-API-Key": KEYS["shop.web"]}, "shop.web"),
        ({"Authorization": "Basic Zm9vOmJhcg==", "X-API-Key": KEYS["cam-7"]}, "cam-7"),
    ):
        response = post(gateway, headers, path)
        assert response.status_code == 200, response.text
        assert line_of(gateway, response)["key"] == name


@pytest.mark.parametrize("path", ["/detect", "/detect/batch", "/detect?format=image"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        bearer(KEYS["cam-7"][:-1]),
        bearer(KEYS["cam-7"] + "7"),
        bearer(hashlib.sha256(KEYS["cam-7"].encode()).hexdigest()),  # the hash
        bearer("cam-7"),
        {"Authorization": KEYS["cam-7"]},
        {"Authorization": f"Basic {KEYS['cam-7']}"},
        {"X-API-Key": ""},
        {"X-API-Key": "\xa0"},
        bearer("\x85"),
        {"X-API-Key": "\xe9\xff" * 20},
        {**bearer("wrong"), "X-API-Key": KEYS["cam-7"]},
    ],
)
def test_a_request_without_a_known_key_is_rejected(
    gateway: GatewayProcess, path: str, headers: dict[str, str]
) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    response = gateway.http.post(path, files={"image": picture()}, headers=raw)  # type: ignore[arg-type]
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "urn:problem:unauthorized"
    assert "key" in response.json()["detail"]
    assert KEYS["cam-7"] not in response.text
    assert "key" not in line_of(gateway, response)


def test_the_key_is_checked_before_the_query(gateway: GatewayProcess) -> None:
    refused = 'detect_requests_total{code="401",route="/detect"}'
    counted = 'detect_rejected_total{reason="unauthorized"}'
    before, counted_before = gateway.metric(refused), gateway.metric(counted)
    assert post(gateway, {}, "/detect?score_threshold=7").status_code == 401
    assert gateway.metric(refused) == before + 1
    assert gateway.metric(counted) == counted_before + 1
    assert post(gateway, bearer(KEYS["cam-7"]), "/detect?score_threshold=7").status_code == 422


def test_the_key_is_checked_before_the_body(gateway: GatewayProcess) -> None:
    """A body that waits to be asked for is asked for only with a key."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    for key, first in (("wrong", b"HTTP/1.1 401"), (KEYS["cam-7"], b"HTTP/1.1 100")):
        with socket.create_connection((host, int(port)), 5) as connection:
            connection.sendall(
                b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
                b"Content-Length: 1000\r\nExpect: 100-continue\r\n"
                b"Authorization: Bearer " + key.encode() + b"\r\n\r\n"
            )
            assert connection.recv(4096).startswith(first)


def test_no_spelling_of_the_path_bypasses_the_key(gateway: GatewayProcess) -> None:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    spellings = (
        *("/detect", "/%64etect", "/detect/batch", "/detect%2Fbatch", "/detect?x=/livez"),
        *("/detect/", "//detect", "/./detect", "/livez/../detect", "/DETECT", "/detect;x", "*"),
    )
    for path in spellings:
        with socket.create_connection((host, int(port)), 5) as connection:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
                "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
            status = connection.recv(4096).split(b" ")[1]
        assert status in (b"401", b"404", b"400"), path


def test_what_says_nothing_about_pictures_stays_open(gateway: GatewayProcess) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs"):
        assert gateway.http.get(path).status_code == 200, path


def test_every_path_that_takes_a_picture_needs_a_key_and_no_other(
    gateway: GatewayProcess,
) -> None:
    paths = gateway.http.get("/openapi.json").json()["paths"]
    names = {"{name}": "yolov4", "{model}": "yolov4", "{version}": "3"}
    seen = set()
    for path, methods in paths.items():
        for template, name in names.items():
            path = path.replace(template, name)
        for method, operation in methods.items():
            files = {"image": ("a.jpg", picture())} if "requestBody" in operation else None
            response = gateway.http.request(method, path, files=files)
            assert (response.status_code == 401) == (files is not None), (method, path)
            seen.add((method, response.status_code))
    assert {("post", 401), ("get", 200)} <= seen


def test_the_document_says_which_keys(gateway: GatewayProcess) -> None:
    document = gateway.http.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert [(s["type"], s.get("scheme") or s["name"]) for s in schemes.values()] == [
        ("http", "bearer"),
        ("apiKey", "X-API-Key"),
    ]
    for path, calls in document["paths"].items():
        for call in calls.values():
            if not {"detection", "operation"} & set(call["tags"]):
                continue  # the dialects' own tests say where they take keys
            needed = path.endswith(("/detect", "/detect/batch"))
            assert ("401" in call["responses"]) == needed, path
            assert call.get("security", []) == [{name: []} for name in schemes if needed], path


def test_no_key_and_no_picture_is_in_the_log(gateway: GatewayProcess) -> None:
    secret = "secretsecretsecret"
    broken = picture(comment=secret.encode())
    headers = bearer(KEYS["cam-7"])
    for data in (broken, broken[:-20], b"GIF8" + secret.encode(), secret.encode()):
        post(gateway, headers, data=data)
        post(gateway, headers, "/detect/batch", data=data)
        post(gateway, bearer(secret + KEYS["cam-7"]), data=data)
        form = {**headers, "Content-Type": "multipart/form-data; boundary=b"}
        gateway.http.post("/detect", content=b"--b\r\n" + data, headers=form)
    last = post(gateway, headers, f"/detect?label={secret}&score_threshold={secret}")
    assert last.status_code == 422
    line_of(gateway, last)
    log = str(gateway.log())
    assert len(gateway.log("request")) >= 17
    for word in (secret, *KEYS.values(), *(line(*item).split()[1] for item in KEYS.items())):
        assert word not in log


def test_keys_are_changed_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(line("a", "old"))
    with FakeBackend() as backend, GatewayProcess(backend=backend.target, api_keys_file=path) as g:

        def status(key: str) -> int:
            return post(g, bearer(key)).status_code

        def becomes(key: str, expected: int) -> None:
            wait_for(lambda: status(key) == expected)

        replace(path, line("a", "old") + line("a", "new"))  # both, while the caller changes over
        becomes("new", 200)
        assert status("old") == 200
        replace(path, line("a", "new"))
        becomes("old", 401)
        assert status("new") == 200
        assert [found["keys"] for found in g.log("API keys reloaded")] == [2, 1]

        def trouble() -> list[str]:
            found = g.log("API keys not reloaded; the previous keys stay valid")
            assert all((said["level"], said["keys"]) == ("error", 1) for said in found)
            return [said["error"] for said in found]

        for broken in ("a new\n", f"{line('a', 'other')}b {'0' * 63}\n"):
            replace(path, broken)
            seen = len(trouble())
            wait_for(lambda: status("new") == 200 and len(trouble()) > seen)  # noqa: B023
            assert status("other") == 401
        path.unlink()
        wait_for(lambda: status("new") == 200 and len(trouble()) == 3)
        assert trouble() == [
            "line 1 is not a name and a SHA-256 in hexadecimal",
            "line 2 is not a name and a SHA-256 in hexadecimal",
            "cannot be read (No such file or directory)",
        ]
        replace(path, "# nobody\n")
        becomes("new", 401)


def test_a_file_that_cannot_be_used_at_start_is_said_and_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    environment = {**os.environ, "DETECT_API_KEYS_FILE": str(path)}
    command = [sys.executable, "-m", "service"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 2
    expected = f"DETECT_API_KEYS_FILE={path}: cannot be read (No such file or directory)\n"
    assert run.stderr == expected
