"""Settings, read once from the environment. `python -m service.settings` prints their reference."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, FilePath, ValidationInfo, field_validator

from .core import tls
from .core.logs.settings import PREFIX
from .core.model_settings import ModelSettings
from .core.threads import ThreadSettings

MIB = 1024 * 1024

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]

UNITS = {"s": "seconds", "bytes": "bytes", "pixels": "pixels"}  # by the last part of the name


class Settings(ModelSettings, ThreadSettings):
    """The variable is `DETECT_` and the field's name in capitals; a name ends with its unit."""

    host: str = Field(
        "127.0.0.1", description="Address to listen on; `0.0.0.0` for all interfaces."
    )
    port: int = Field(8000, description="Port to listen on; 0 picks a free one.", ge=0, le=65535)
    backend: str = Field(
        "localhost:8500",
        description="gRPC target of the model server: `host:port`, `dns:///host:port` (all of the"
        " name's addresses) or `unix:/path`. Several are separated by commas: requests go to the"
        " least-loaded server.",
    )
    resolve_interval_s: Positive = Field(
        5, description="Interval of looking up the addresses of a `dns:///` backend."
    )
    backend_ca_file: str | None = Field(
        None,
        description="CA certificates (PEM) that verify the model server; enables TLS. This and the"
        " next two files are read once, at startup.",
    )
    backend_cert_file: str | None = Field(
        None, description="Client certificate (PEM), if the model server requires one."
    )
    backend_key_file: str | None = Field(
        None,
        description="Private key (PEM, no password) of the client certificate.",
        validate_default=True,
    )
    backend_server_name: str | None = Field(
        None,
        description="Name expected in the model server's certificate; unset: the target's host"
        " name.",
        min_length=1,
    )
    deadline_s: Positive = Field(
        10,
        description="Deadline of one image from the end of its upload to the response, queueing"
        " included.",
    )
    ready_interval_s: Positive = Field(1, description="Health-check interval of the model servers.")
    ready_timeout_s: Positive = Field(1, description="Health-check timeout.")
    tracing: bool = Field(
        False,
        description="`on`: export OpenTelemetry traces over OTLP, as its `OTEL_*` variables say;"
        " needs `requirements/otel.txt`.",
    )
    api_keys_file: Path | None = Field(
        None,
        description="File of the API keys that detection requests need, one `name sha256` per line"
        " (`python -m service.keys NAME` makes one); reloaded when it changes. Unset: no key is"
        " needed.",
    )
    cors_origins: str = Field(
        "",
        description="Origins of web pages that may call the API from a browser, such as"
        " `https://app.example.com`, separated by commas; `*` for all. Empty: none (no CORS).",
    )
    max_in_flight: Count = Field(
        16, description="Images sent to the model servers concurrently, for each model."
    )
    max_queue: int = Field(
        64,
        description="Images that may wait in the queue of each model; further ones get 503.",
        ge=0,
    )
    max_upload_bytes: Count = Field(20 * MIB, description="Maximum size of one image.")
    max_batch_bytes: Count = Field(
        64 * MIB, description="Maximum size of the body of `/detect/batch`."
    )
    max_batch_pictures: Count = Field(
        64, description="Maximum number of images in one `/detect/batch`."
    )
    max_held_bytes: Count = Field(
        256 * MIB,
        description="Memory budget for uploads, including the two copies made of an image while a"
        " model server is called; uploads beyond it get 503.",
    )
    max_pixels: Count = Field(50_000_000, description="Maximum width x height of one image.")
    downscale: bool = Field(
        False,
        description="`on`: JPEGs over `DETECT_MAX_PIXELS`, up to 64 times as many pixels, are"
        " decoded at a half, a quarter or an eighth of their width and height. `off`: they get"
        " 413.",
    )
    max_pixel_bytes: Count = Field(
        448 * MIB,
        description="Memory in bytes for all images being decoded, drawn or encoded at the same"
        " time; others wait.",
    )
    label_font_file: FilePath | None = Field(
        None,
        description="TrueType or OpenType font of the labels on drawn images. Unset: the bundled"
        " fonts, which cover Latin, Greek, Cyrillic, Hebrew, Arabic, Chinese, Japanese and Korean.",
    )
    picture_threads: Count | None = Field(
        None,
        description="Threads that decode and draw images; unset: the CPU cores available to the"
        " container.",
    )
    max_connections: Count = Field(
        2000,
        description="Maximum open connections. Beyond it, the oldest connection without a complete"
        " request head is closed; if there is none, 64 more connections are accepted for health"
        " checks and `/metrics` only.",
    )
    head_timeout_s: Positive = Field(10, description="Timeout for receiving request headers.")
    upload_timeout_s: Positive = Field(
        20, description="Timeout for receiving a request body, after its headers."
    )
    send_timeout_s: Positive = Field(30, description="Write timeout for stalled clients.")
    drain_s: float = Field(
        0,
        description="Drain period after SIGTERM; `/readyz` returns 503.",
        ge=0,
        allow_inf_nan=False,
    )
    shutdown_timeout_s: Count = Field(
        30, description="Time for requests in progress to complete after the drain period."
    )
    keep_alive_s: Count = Field(
        75,
        description="Keep-alive timeout of idle connections; must be longer than the load"
        " balancer's.",
    )

    @field_validator("backend", "canary_backend", "shadow_backend")
    @classmethod
    def _check_targets(cls, backend: str, info: ValidationInfo) -> str:
        if not backend and info.field_name != "backend":
            return backend
        for target in map(str.strip, backend.split(",")):
            host, _, port = target.rpartition(":")
            if not re.match(r"(dns|unix|ipv4|ipv6):", target) and not (
                port.isdigit() and re.fullmatch(r"[\w.-]+", host)
            ):
                raise ValueError(f"{target!r} is not host:port")
        return backend

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: str) -> str:
        for origin in map(str.strip, origins.split(",") if origins else []):
            if origin != "*" and not re.fullmatch(r"https?://[\w.-]+(:\d+)?", origin):
                raise ValueError(f"{origin!r} is not an origin like https://app.example.com")
        return origins

    @field_validator("backend_ca_file")
    @classmethod
    def _check_ca_file(cls, ca_file: str | None) -> str | None:
        if ca_file is not None:
            tls.check_authority(ca_file)
        return ca_file

    @field_validator("backend_cert_file", "backend_server_name")
    @classmethod
    def _check_tls_enabled(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("backend_ca_file", "invalid") is None:
            raise ValueError(f"needs {PREFIX}BACKEND_CA_FILE, which enables TLS")
        return value

    @field_validator("backend_key_file")
    @classmethod
    def _check_key_file(cls, key_file: str | None, info: ValidationInfo) -> str | None:
        if "backend_cert_file" in info.data:  # else its own error is enough
            tls.check_identity(info.data["backend_cert_file"], key_file)
        return key_file

    @classmethod
    def load(cls) -> Self:
        """Vertex AI says in AIP_HTTP_PORT where it expects the service, on all interfaces."""
        if port := os.environ.get("AIP_HTTP_PORT"):
            os.environ.setdefault(f"{PREFIX}PORT", port)
            os.environ.setdefault(f"{PREFIX}HOST", "0.0.0.0")
        return super().load()

    @classmethod
    def unknown(cls) -> list[str]:
        """Variables with the prefix that are no setting: most likely misspelt."""
        known = {PREFIX + name.upper() for name in cls.model_fields}
        return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)

    @classmethod
    def reference(cls) -> str:
        """A Markdown table of all settings: variable, default, unit and description."""
        rows = ["| variable | default | unit | |", "|---|---|---|---|"]
        for name, field in cls.model_fields.items():
            default = "unset" if field.default is None else f"`{_shown(field.default)}`"
            unit = UNITS.get(name.rpartition("_")[2], "")
            rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {unit} | {field.description} |")
        return "\n".join(rows) + "\n"


def _shown(default: object) -> object:
    return ("off", "on")[default] if isinstance(default, bool) else default


if __name__ == "__main__":
    sys.stdout.write(Settings.reference())
