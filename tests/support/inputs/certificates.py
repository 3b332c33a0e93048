"""Certificates of an authority made for a test, as files."""

from dataclasses import dataclass
from pathlib import Path

import grpc
import trustme


@dataclass
class Certificates:
    """`ca` signed `cert` (of localhost, with `key`) and whatever `identity` makes."""

    folder: Path

    def __post_init__(self) -> None:
        self._ca = trustme.CA()
        self.ca = self.folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca)
        self.cert, self.key = self.identity("localhost")

    def identity(self, name: str) -> tuple[Path, Path]:
        issued = self._ca.issue_cert(name)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return cert, key

    def server(self, *, mutual: bool = False) -> grpc.ServerCredentials:
        pair = (self.key.read_bytes(), self.cert.read_bytes())
        ca = self.ca.read_bytes() if mutual else None
        return grpc.ssl_server_credentials([pair], ca, require_client_auth=mutual)
