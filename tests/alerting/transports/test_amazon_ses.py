"""Amazon SES through Anymail: what its codes ask for, as botocore hands them on."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.models import ErrorKind
from alerting.transports import TransportError

pytest.importorskip("anymail")
from anymail.exceptions import AnymailAPIError

from alerting.transports.anymail.policy import judge

UNVERIFIED = "Email address is not verified. The following identities failed the check in region US-EAST-1: w@x.example"
ANSWERS = [
    (400, "ThrottlingException", "Maximum sending rate exceeded.", ErrorKind.TRANSIENT, True),
    (400, "Throttling", "Daily message quota exceeded.", ErrorKind.TRANSIENT, True),
    (429, "TooManyRequestsException", "Too many requests", ErrorKind.TRANSIENT, True),
    (400, "LimitExceededException", "", ErrorKind.TRANSIENT, True),
    (429, "", "", ErrorKind.TRANSIENT, True),
    (400, "AccountSuspendedException", "", ErrorKind.CONFIGURATION, True),
    (400, "SendingPausedException", "", ErrorKind.CONFIGURATION, True),
    (400, "MailFromDomainNotVerifiedException", "", ErrorKind.CONFIGURATION, True),
    (404, "NotFoundException", "Configuration set <x> does not exist.", ErrorKind.CONFIGURATION, True),
    (403, "UnrecognizedClientException", "The security token is invalid.", ErrorKind.CONFIGURATION, True),
    (403, "AccessDeniedException", "is not authorized to perform ses:SendEmail", ErrorKind.CONFIGURATION, False),
    (400, "MessageRejected", "The message contains a virus.", ErrorKind.PERMANENT, False),
    (400, "MessageRejected", UNVERIFIED, ErrorKind.CONFIGURATION, False),
    (400, "MessageRejected", "Sending suspended for this account.", ErrorKind.CONFIGURATION, False),
    (400, "BadRequestException", "Illegal address", ErrorKind.CONFIGURATION, False),
    (413, "RequestEntityTooLargeException", "", ErrorKind.PERMANENT, False),
    (500, "InternalFailure", "", ErrorKind.TRANSIENT, True),
    (503, "ServiceUnavailable", "", ErrorKind.TRANSIENT, True),
]


def response_of(status: int, code: str, words: str, **headers: str) -> dict[str, Any]:
    """As botocore's `ClientError.response` is."""
    about = {"HTTPStatusCode": status, "HTTPHeaders": headers, "RetryAttempts": 0}
    return {"Error": {"Code": code, "Message": words}, "ResponseMetadata": about}


def judged(response: object, cause: Exception | None = None) -> TransportError:
    fault = AnymailAPIError("An error occurred", response=response, esp_name="Amazon SES")
    fault.__cause__ = cause
    return judge(fault)


@pytest.mark.parametrize(("status", "code", "words", "kind", "whole_kind"), ANSWERS)
def test_answers_have_their_kind(status: int, code: str, words: str, kind: ErrorKind, whole_kind: bool) -> None:
    fault = judged(response_of(status, code, words))

    assert (fault.kind, fault.whole_kind, fault.bounced) == (kind, whole_kind, False)
    assert fault.unknown == (status >= 500)  # it may have taken the mail before it failed


@pytest.mark.parametrize("code", ["ThrottlingException", ""])
def test_it_is_left_alone_as_long_as_it_asks(code: str) -> None:
    assert judged(response_of(429, code, "", **{"retry-after": "7"})).retry_after == 7


@pytest.mark.parametrize("response", [None, {}, {"Error": {}}, {"ResponseMetadata": None, "Error": None}])
def test_what_has_no_status_may_have_delivered(response: object) -> None:
    fault = judged(response)

    assert (fault.kind, fault.unknown) == (ErrorKind.TRANSIENT, True)


def boto_error(name: str, base: type[Exception] = Exception) -> type[Exception]:
    """botocore is not installed with us."""
    return type(name, (base,), {"__module__": "botocore.exceptions"})


NOT_CONNECTED = boto_error("EndpointConnectionError", boto_error("ConnectionError"))


@pytest.mark.parametrize(
    ("cause", "kind"),
    [(NOT_CONNECTED, ErrorKind.TRANSIENT), (boto_error("NoCredentialsError"), ErrorKind.CONFIGURATION)],
)
def test_what_never_left_pauses_the_kind_and_is_no_possible_repeat(cause: type[Exception], kind: ErrorKind) -> None:
    fault = judged(None, cause("no"))

    assert (fault.kind, fault.whole_kind, fault.unknown) == (kind, True, False)


@pytest.mark.parametrize("cause", [boto_error("ReadTimeoutError", boto_error("HTTPClientError")), ConnectionError])
def test_an_answer_that_did_not_come_may_have_been_a_delivery(cause: type[Exception]) -> None:
    fault = judged(None, cause("no answer"))

    assert (fault.kind, fault.unknown) == (ErrorKind.TRANSIENT, True)
