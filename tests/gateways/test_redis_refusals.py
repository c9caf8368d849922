"""Which errors say that the settings of a Redis are wrong, and which that it is away or in a state that passes."""

from __future__ import annotations

import ssl

import pytest
from redis import exceptions

from app.gateways.redis_client import refusal


def caused(by: Exception, *, explicit: bool) -> Exception:
    """An error of redis-py's around one of the socket's."""
    error = exceptions.ConnectionError("no")
    if explicit:
        error.__cause__ = by
    else:
        error.__context__ = by
    return error


def of_tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "x")
    error.reason = reason
    return error


def certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_message = "self-signed certificate"
    return error


REFUSED: list[tuple[Exception, str]] = [
    (exceptions.AuthenticationError("WRONGPASS no such user"), "WRONGPASS no such user"),
    (exceptions.AuthorizationError("no"), "no"),
    (
        exceptions.NoPermissionError("this user has no permissions, with args beginning with: 'x'"),
        "this user has no permissions",
    ),
    (exceptions.ResponseError("DB index is out of range\nmore"), "DB index is out of range"),
    (exceptions.InvalidResponse("x"), "what answers there is not Redis"),
    (TypeError("x"), "no client can be made for it: TypeError"),
    (caused(certificate(), explicit=True), "its certificate is not accepted: self-signed certificate"),
    (caused(certificate(), explicit=False), "its certificate is not accepted: self-signed certificate"),
    (of_tls("WRONG_VERSION_NUMBER"), "it does not speak TLS: write redis:// instead of rediss://"),
    (of_tls("RECORD_LAYER_FAILURE"), "it does not speak TLS: write redis:// instead of rediss://"),
]
STATES = (
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    exceptions.TryAgainError,
)
PASSES: list[Exception] = [
    *(kind("x") for kind in STATES),
    *(exceptions.ResponseError(f"{word} x") for word in ("MISCONF", "BUSY", "LOADING", "NOREPLICAS", "UNBLOCKED")),
    exceptions.BusyLoadingError("x"),
    exceptions.ConnectionError("x"),
    exceptions.TimeoutError("x"),
    ConnectionRefusedError("x"),
    of_tls("CERTIFICATE_UNKNOWN"),
    caused(of_tls("UNEXPECTED_EOF_WHILE_READING"), explicit=True),
]


@pytest.mark.parametrize(("error", "said"), REFUSED, ids=lambda one: str(one)[:30])
def test_what_is_an_answer_is_said(error: Exception, said: str) -> None:
    assert refusal(error) == said


@pytest.mark.parametrize("error", PASSES, ids=repr)
def test_what_passes_is_no_refusal(error: Exception) -> None:
    assert refusal(error) is None
