"""Every setting of the gateway: name, default, unit, sentence. Read once from the environment."""

import os
import re
from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

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
        " over its addresses), or several `ip:port` separated by commas.",
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
    max_in_flight: Count = Field(16, description="Pictures at the backend at the same time.")
    max_queue: int = Field(
        64, ge=0, description="Pictures that may wait for a place; one more is refused with 503."
    )
    max_upload_bytes: Count = Field(20 * MIB, description="Bytes of one picture.")
    max_batch_bytes: Count = Field(64 * MIB, description="Bytes of the body of `/detect/batch`.")
    max_batch_pictures: Count = Field(64, description="Pictures in one `/detect/batch`.")
    max_pixels: Count = Field(50_000_000, description="Pixels of one picture, width x height.")
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
        several = [one.strip() for one in backend.split(",")]
        for one in several:
            host, _, port = one.rpartition(":")
            if len(several) == 1 and re.match(r"(dns|unix|ipv4|ipv6):", one):
                continue
            if not port.isdigit() or not re.fullmatch(r"[\w.-]+", host):
                raise ValueError(f"{one!r} is not host:port")
            if len(several) > 1 and not re.fullmatch(r"[\d.]+", host):
                raise ValueError(
                    f"of several targets each must be ip:port, and {one!r} is not; one name with"
                    " several addresses is dns:///name:port"
                )
        return backend

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
