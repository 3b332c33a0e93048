"""Every setting of the gateway: name, default, unit, sentence. Read once from the environment."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from . import tls

PREFIX = "DETECT_"
MIB = 1024 * 1024

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class SettingsError(Exception):
    """A setting that cannot be used; the message names the variable and what it may be."""


class Settings(BaseSettings):
    """The variable is `DETECT_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    backend: str = Field(
        "localhost:8500",
        description="gRPC target of the model server: `host:port`, `dns:///host:port` (round-robin"
        " over its addresses), or several separated by commas, of which the least busy is asked.",
    )
    backend_ca_file: str | None = Field(
        None,
        description="PEM file of the authorities that signed the model server's certificate; unset:"
        " no TLS. It and the next two are read once, at start.",
    )
    backend_cert_file: str | None = Field(
        None, description="PEM file of this gateway's certificate, where the model server asks."
    )
    backend_key_file: str | None = Field(
        None,
        validate_default=True,
        description="PEM file of that certificate's key, without a password.",
    )
    backend_server_name: str | None = Field(
        None, min_length=1, description="Name in the model server's certificate; unset: the host's."
    )
    model_name: str = Field("yolov4", min_length=1, description="Model to ask the backend for.")
    model_version: int | None = Field(
        None, ge=1, description="Version of the model; unset: the newest that is loaded."
    )
    deadline_s: Positive = Field(
        10, description="Seconds for one picture from upload to answer, waiting included."
    )
    ready_interval_s: Positive = Field(
        1, description="Seconds between two looks at the backend's model status."
    )
    ready_timeout_s: Positive = Field(1, description="Seconds to wait for the model status.")
    api_keys_file: Path | None = Field(
        None,
        description="File of the API keys that may ask for detections, one `name sha256` a line"
        " (`python -m service.keys NAME`), read again when it changes; unset: anybody may.",
    )
    max_in_flight: Count = Field(16, description="Pictures at the backend at the same time.")
    max_queue: int = Field(
        64, ge=0, description="Pictures that may wait for a place; one more is refused with 503."
    )
    max_upload_bytes: Count = Field(20 * MIB, description="Bytes of one picture.")
    max_batch_bytes: Count = Field(64 * MIB, description="Bytes of the body of `/detect/batch`.")
    max_batch_pictures: Count = Field(64, description="Pictures in one `/detect/batch`.")
    max_held_bytes: Count = Field(
        512 * MIB,
        description="Memory for uploads in bytes, including the two copies made of a picture while"
        " the model server is called; uploads beyond it get 503.",
    )
    max_pixels: Count = Field(50_000_000, description="Pixels of one picture, width x height.")
    max_connections: Count = Field(
        2000, description="Open connections; beyond, only probes and `/metrics` are answered."
    )
    head_timeout_s: Positive = Field(10, description="Seconds for the head of a request to arrive.")
    upload_timeout_s: Positive = Field(
        20, description="Seconds from a request's head to the end of its body."
    )
    send_timeout_s: Positive = Field(
        30, description="Seconds a client may read nothing of an answer that waits for it."
    )
    drain_s: float = Field(
        0,
        ge=0,
        description="Seconds from SIGTERM to the end of listening, in which `/readyz` says 503.",
    )
    shutdown_timeout_s: Count = Field(
        30, description="Seconds that requests under way may still take after that."
    )
    keep_alive_s: Count = Field(
        75, description="Seconds an idle connection stays open; longer than the load balancer's."
    )

    @field_validator("backend")
    @classmethod
    def _is_a_target(cls, backend: str) -> str:
        for one in backend.split(","):
            host, _, port = one.strip().rpartition(":")
            if not re.match(r"(dns|unix|ipv4|ipv6):", one.strip()) and not (
                port.isdigit() and re.fullmatch(r"[\w.-]+", host)
            ):
                raise ValueError(f"{one.strip()!r} is not host:port")
        return backend

    @field_validator("backend_ca_file")
    @classmethod
    def _has_authorities(cls, ca_file: str | None) -> str | None:
        if ca_file is not None:
            tls.check_authority(ca_file)
        return ca_file

    @field_validator("backend_cert_file", "backend_server_name")
    @classmethod
    def _is_of_tls(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("backend_ca_file", "invalid") is None:
            raise ValueError(f"without {PREFIX}BACKEND_CA_FILE there is no TLS")
        return value

    @field_validator("backend_key_file")
    @classmethod
    def _is_the_certificates(cls, key_file: str | None, info: ValidationInfo) -> str | None:
        if "backend_cert_file" in info.data:  # else it was refused, which is enough to say
            tls.check_identity(info.data["backend_cert_file"], key_file)
        return key_file

    @classmethod
    def load(cls) -> "Settings":
        """Raises SettingsError with one line for each variable that cannot be used."""
        try:
            return cls()
        except ValidationError as error:
            lines = (
                f"{PREFIX}{str(e['loc'][0]).upper()}={e['input']!r}: {e['msg']}"
                for e in error.errors()
            )
            raise SettingsError("\n".join(lines)) from error

    @classmethod
    def unknown(cls) -> list[str]:
        """Variables with our prefix that no setting reads: most likely misspelt."""
        known = {PREFIX + name.upper() for name in cls.model_fields}
        return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
