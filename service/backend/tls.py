"""The files of TLS to the model server. OpenSSL tries them at start: gRPC would only say, at the
first call, that nobody can be reached."""

import ssl


def check_authority(ca_file: str) -> None:
    """Raises ValueError with what is wrong."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise ValueError("has no certificate in PEM") from error
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error


def check_identity(cert_file: str | None, key_file: str | None) -> None:
    """A certificate and its key, or neither. Raises ValueError with what is wrong."""
    if cert_file is None and key_file is None:
        return
    if cert_file is None or key_file is None:
        raise ValueError("a client certificate and its key are set both or neither")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # gRPC takes no password, and without this one OpenSSL would ask at the terminal.
        context.load_cert_chain(cert_file, key_file, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"is not the key of {cert_file}") from error
        raise ValueError(f"or {cert_file} is not PEM, or the key has a password") from error
    except OSError as error:
        raise ValueError(f"or {cert_file} cannot be read: {error.strerror}") from error
