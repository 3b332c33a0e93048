"""An S3 service of this machine: moto, with two buckets, and what a test does to them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import httpx

from tests.support.processes.gateway_process import wait_for
from tests.support.project import free_port

REGION = "us-east-1"


@contextmanager
def buckets(*names: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """boto3's client, and the environment in which any program finds these buckets."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1"]
    process = subprocess.Popen([*command, "-p", str(port)], stderr=subprocess.DEVNULL)
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": REGION,
    }
    try:
        wait_for(lambda: _answers(url), 30)
        s3 = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        for name in names:
            s3.create_bucket(Bucket=name)
        yield s3, environment
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code < 500
    except httpx.TransportError:
        return False
