"""Amazon SES through Anymail: what its codes ask for, as botocore hands them on."""

from __future__ import annotations

import time
from typing import Any

import pytest

from alerting.models import ErrorKind
from alerting.transports import TransportError
from tests.alerting.transports.test_anymail import outgoing

pytest.importorskip("anymail")
from anymail.exceptions import AnymailAPIError

from alerting.transports.anymail import anymail_of_settings
from alerting.transports.anymail.amazon_ses import client_params
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


def test_a_send_ends_within_the_deadline_and_is_not_repeated_by_the_client() -> None:
    config = client_params({}, deadline=30.0)["config"]

    assert config["connect_timeout"] + config["read_timeout"] < 30
    assert config["retries"] == {"total_max_attempts": 1}


def test_what_the_operator_says_of_the_client_stands() -> None:
    given = {"region_name": "eu-west-1", "config": {"read_timeout": 3, "max_pool_connections": 2}}

    params = client_params(given, deadline=30.0)

    assert params["region_name"] == "eu-west-1"
    assert params["config"] == {
        "connect_timeout": 7.5, "read_timeout": 3, "max_pool_connections": 2, "retries": {"total_max_attempts": 1}
    }  # fmt: skip


def test_the_client_is_made_with_the_deadline_of_the_settings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ANYMAIL_PROVIDER, settings.SEND_DEADLINE_SECONDS = "amazon_ses", 8.0
    settings.ANYMAIL = {"AMAZON_SES_CLIENT_PARAMS": {"region_name": "eu-west-1"}}
    made: dict[str, Any] = {}

    def get_connection(backend: str, **options: Any) -> Any:
        made.update(options, backend=backend)
        raise AnymailAPIError("boto3 is not there")

    monkeypatch.setattr("alerting.transports.anymail.get_connection", get_connection)
    with pytest.raises(TransportError):
        anymail_of_settings().send(outgoing(), deadline=time.monotonic() + 8)

    assert made["backend"] == "anymail.backends.amazon_ses.EmailBackend"
    assert made["client_params"]["region_name"] == "eu-west-1"
    assert made["client_params"]["config"]["read_timeout"] == 4.0


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
