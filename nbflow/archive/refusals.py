"""What object storage says when it refuses, in words: what is wrong, whether waiting may help, what to do.

Reads error codes and the names of exceptions, so that no package of a storage has to be there. Messages of others are
shown in one short line without what may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nbflow.core.addresses import PACKAGES, scheme_of
from nbflow.errors import UnreachableError

LONGEST = 160
"""Characters of a message that another library made."""

_SECRET = re.compile(r"(?<=://)[^/@\s]+@|(?<=[?&])[\w.-]+=[^&\s]+")


class StorageError(UnreachableError):
    """Object storage cannot be reached or does not let us.

    `lasting`: only somebody who changes something can help. `login`: it is about credentials, which may be renewed.
    """

    def __init__(self, message: str, *, hint: str | None = None, lasting: bool = False, login: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.lasting = lasting
        self.login = login


class SilentError(StorageError):
    """Object storage has not answered yet."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    text: str
    hint: str | None = None
    lasting: bool = False
    login: bool = False


_BUSY = _Meaning("it is busy or out of order")
_SILENT = _Meaning("it cannot be reached", "check the network and the address of the endpoint")
_EXPIRED = _Meaning("the credentials have expired", "renew them, then: nbflow report RUN", login=True)
_UNKNOWN = _Meaning("it does not know the credentials", "check those in the environment", lasting=True, login=True)
_NONE = _Meaning(
    "there are no credentials for it", "give them in the environment, as for its own tools", lasting=True, login=True
)
_DENIED = _Meaning("access is denied", "the credentials need to read and write objects there", lasting=True, login=True)
_REGION = _Meaning(
    "the bucket is in another region", "set the region of the bucket, such as AWS_REGION=eu-central-1", lasting=True
)
_MISSING = _Meaning("there is no such bucket", "make it, or correct `outputs` in [nbflow]", lasting=True)
_CLOCK = _Meaning("the clock of this machine is wrong", "set the clock: requests are signed with the time")

_CODES: Mapping[str, _Meaning] = {
    **dict.fromkeys(("SlowDown", "ServiceUnavailable", "InternalError", "OperationAborted", "Throttling"), _BUSY),
    **dict.fromkeys(("RequestTimeout", "500", "502", "503", "504", "429"), _BUSY),
    **dict.fromkeys(("ConditionalRequestConflict", "409"), _Meaning("somebody else is writing the same object")),
    **dict.fromkeys(("ExpiredToken", "TokenRefreshRequired", "InvalidToken", "ExpiredTokenException"), _EXPIRED),
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "401"), _UNKNOWN),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "AccountProblem", "NotSignedUp", "403"), _DENIED),
    **dict.fromkeys(("PermanentRedirect", "AuthorizationHeaderMalformed", "Redirect", "TemporaryRedirect"), _REGION),
    **dict.fromkeys(("IllegalLocationConstraintException", "301", "307"), _REGION),
    **dict.fromkeys(("NoSuchBucket", "ContainerNotFound"), _MISSING),
    "RequestTimeTooSkewed": _CLOCK,
}
_NAMES: Mapping[str, _Meaning] = {
    **dict.fromkeys(("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"), _NONE),
    **dict.fromkeys(("CredentialRetrievalError", "RefreshError", "TokenRetrievalError"), _EXPIRED),
    **dict.fromkeys(("SSOTokenLoadError", "UnauthorizedSSOTokenError"), _EXPIRED),
    **dict.fromkeys(("ClientAuthenticationError", "ProfileNotFound"), _UNKNOWN),
    **dict.fromkeys(("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError"), _SILENT),
    **dict.fromkeys(("FSTimeoutError", "ServiceRequestError", "ClientConnectorError"), _SILENT),
}


def refusal(error: BaseException, url: str) -> StorageError:
    """An error of fsspec, or of what is below it, as one that a user may see. `url` is what could not be used."""
    chain = list(_causes(error))
    code = next((code for one in chain if (code := code_of(one)) is not None), None)
    meaning = _CODES.get(code or "") or next((found for one in chain if (found := _meaning(one)) is not None), None)
    if meaning is None:
        return StorageError(f"{url} cannot be used: {_shown(error)}")
    told = f" ({code})" if code else ""
    message = f"{url} cannot be used: {meaning.text}{told}"
    return StorageError(message, hint=meaning.hint, lasting=meaning.lasting, login=meaning.login)


def unanswered(url: str, seconds: float) -> SilentError:
    """What is at a URL has not answered for some seconds."""
    return SilentError(f"{url} has not answered for {seconds:g} s", hint=_SILENT.hint)


def missing_package(url: str) -> StorageError:
    """There is nothing installed that can reach a URL."""
    scheme = scheme_of(url)
    package = PACKAGES.get(scheme)
    if package is None:
        return StorageError(
            f"nothing installed here can write {scheme}:// addresses",
            hint="install the fsspec package for it, or set `outputs` in [nbflow] to a folder",
            lasting=True,
        )
    name, extra = package
    hint = f"install it: pip install 'jupyter-nbflow[{extra}]'"
    return StorageError(f"{url} needs the package {name}, which is not installed", hint=hint, lasting=True)


def code_of(error: BaseException) -> str | None:
    """The code that the storage itself gave, such as `NoSuchBucket` or 503; None where it gave none."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        code = response.get("Error", {}).get("Code")
        return str(code) if code else None
    for name in ("error_code", "code", "status_code"):
        value = getattr(error, name, None)
        if isinstance(value, int | str) and not isinstance(value, bool) and value:
            return str(value)
    return None


def is_taken(error: BaseException) -> bool:
    """Whether a write that must create was refused because there is something already."""
    codes = ("PreconditionFailed", "412", "BlobAlreadyExists")
    return any(isinstance(one, FileExistsError) or code_of(one) in codes for one in _causes(error))


def is_unknown_to_it(error: BaseException) -> bool:
    """Whether a storage says that it knows no writes that must create."""
    codes = ("NotImplemented", "501")
    return any(isinstance(one, NotImplementedError | TypeError) or code_of(one) in codes for one in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _meaning(error: BaseException) -> _Meaning | None:
    for kind in type(error).__mro__:
        if kind.__name__ in _NAMES:
            return _NAMES[kind.__name__]
    match error:
        case PermissionError():
            return _DENIED
        case FileNotFoundError():
            return _MISSING
        case ConnectionError() | TimeoutError():
            return _SILENT
        case _:
            return None


def _shown(error: BaseException) -> str:
    text = _SECRET.sub("***", " ".join(f"{type(error).__name__}: {error}".split()))
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
