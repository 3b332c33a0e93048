"""Checks of the TLS files for the model server, at startup: gRPC would report a bad file only as an
unreachable server, at the first call."""

import ssl


def check_authority(ca_file: str) -> None:
    """Raises ValueError unless this is a PEM file of CA certificates."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise ValueError("has no certificate in PEM") from error
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error


def check_identity(cert_file: str | None, key_file: str | None) -> None:
    """Raises ValueError unless both are unset, or a PEM certificate and its private key."""
    if cert_file is None and key_file is None:
        return
    if cert_file is None or key_file is None:
        raise ValueError("a client certificate and its key are set both or neither")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # gRPC takes no password, and without this one OpenSSL would prompt at the terminal.
        context.load_cert_chain(cert_file, key_file, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"is not the key of {cert_file}") from error
        raise ValueError(f"or {cert_file} is not PEM, or the key has a password") from error
    except OSError as error:
        raise ValueError(f"or {cert_file} cannot be read: {error.strerror}") from error
