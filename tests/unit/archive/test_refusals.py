from __future__ import annotations

import pytest

from nbflow.archive.refusals import code_of, is_taken, is_unknown_to_it, missing_package, refusal


class Answer(Exception):
    """As botocore's ClientError."""

    def __init__(self, code: str) -> None:
        super().__init__("x")
        self.response = {"Error": {"Code": code}}


class NoCredentialsError(Exception):
    """As botocore's."""


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "text", "lasting"),
    [
        (caused(OSError(16, "slow"), Answer("SlowDown")), "busy or out of order (SlowDown)", False),
        (caused(PermissionError("x"), Answer("ExpiredToken")), "the credentials have expired (ExpiredToken)", False),
        (caused(PermissionError("x"), Answer("InvalidAccessKeyId")), "does not know the credentials", True),
        (caused(PermissionError("x"), Answer("AccessDenied")), "access is denied (AccessDenied)", True),
        (caused(OSError(22, "x"), Answer("AuthorizationHeaderMalformed")), "is in another region", True),
        (caused(FileNotFoundError("x"), Answer("NoSuchBucket")), "there is no such bucket (NoSuchBucket)", True),
        (caused(OSError(16, "x"), Answer("409")), "somebody else is writing", False),
        (NoCredentialsError("x"), "there are no credentials", True),
        (PermissionError("x"), "access is denied", True),
        (FileNotFoundError("x"), "no such bucket", True),
        (TimeoutError("x"), "cannot be reached", False),
        (ConnectionResetError("x"), "cannot be reached", False),
        (Answer("Strange"), "Answer: x", False),
    ],
)
def test_what_is_said(error: BaseException, text: str, lasting: bool) -> None:
    found = refusal(error, "s3://bucket/prefix")
    assert found.message.startswith("s3://bucket/prefix cannot be used: ")
    assert text in found.message
    assert found.lasting is lasting
    assert found.exit_code == 6


def test_messages_of_others_are_short_and_hold_no_password() -> None:
    error = ValueError("cannot connect to http://user:hunter2@host/x?X-Amz-Signature=hunter2&b=hunter2\n" + "x" * 1000)
    found = refusal(error, "s3://bucket").message
    assert "hunter2" not in found
    assert "\n" not in found
    assert len(found) < 250


def test_packages() -> None:
    assert missing_package("gs://bucket").hint == "install it: pip install 'jupyter-nbflow[gcs]'"
    assert "nothing installed here can write xyz://" in missing_package("xyz://bucket").message


def test_what_is_there_already() -> None:
    assert is_taken(FileExistsError())
    assert is_taken(caused(OSError(22, "x"), Answer("PreconditionFailed")))
    assert not is_taken(caused(OSError(16, "x"), Answer("409")))
    assert is_unknown_to_it(caused(OSError(38, "x"), Answer("NotImplemented")))
    assert not is_unknown_to_it(OSError(5, "x"))
    assert code_of(OSError(5, "x")) is None
