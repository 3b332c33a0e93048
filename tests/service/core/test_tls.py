"""Files of TLS that cannot be used, and the sentence for each."""

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from service.core.tls import check_authority, check_identity
from tests.support.inputs.certificates import Certificates


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_good_files(made: Certificates) -> None:
    check_authority(str(made.ca))
    check_identity(str(made.cert), str(made.key))
    check_identity(None, None)


def test_an_authority_that_cannot_be_used(made: Certificates) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        check_authority(str(made.ca) + ".old")
    with pytest.raises(ValueError, match="has no certificate in PEM"):
        check_authority(str(made.key))


def test_an_identity_that_cannot_be_used(made: Certificates) -> None:
    cert, key = str(made.cert), str(made.key)
    _, other_key = made.identity("other")
    for half in ((cert, None), (None, key)):
        with pytest.raises(ValueError, match="both or neither"):
            check_identity(*half)
    with pytest.raises(ValueError, match=f"is not the key of {re.escape(cert)}"):
        check_identity(cert, str(other_key))
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        check_identity(cert, key + ".old")
    with pytest.raises(ValueError, match="is not PEM"):
        check_identity(__file__, key)


def test_a_key_with_a_password_is_refused_without_a_prompt(made: Certificates) -> None:
    key = serialization.load_pem_private_key(made.key.read_bytes(), None)
    locked = made.folder / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ValueError, match="the key has a password"):
        check_identity(str(made.cert), str(locked))
