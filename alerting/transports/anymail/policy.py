"""What a provider's fault asks for: one pure function."""

from __future__ import annotations

from datetime import UTC, datetime

import requests
from anymail.exceptions import (
    AnymailAPIError,
    AnymailConfigurationError,
    AnymailInvalidAddress,
    AnymailRecipientsRefused,
    AnymailSerializationError,
    AnymailUnsupportedFeature,
)

from alerting.models import ErrorKind
from alerting.transports.anymail.amazon_ses import Answer, answer_of, judge_answer, never_left
from alerting.transports.contract import TransportError
from alerting.transports.email.policy import Verdict
from alerting.transports.posting import retry_after

# Not 403: it may be about one recipient, such as one that a trial account may not write to (Mailgun).
_KEYS_OR_BILLS = (401, 402)
_TOO_SLOW = 408  # this request did not come in time (RFC 9110, section 15.5.9); others do
_TOO_BIG = 413
_TOO_MANY = 429
_NOT_REACHED = (requests.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError)


def judge(fault: Exception) -> TransportError:
    """The fault, typed; what is none of the provider's is ours and passes through."""
    if isinstance(fault, AnymailSerializationError | AnymailUnsupportedFeature):
        return _typed("The mail cannot be said to the mail provider", fault, ErrorKind.CONFIGURATION)
    if isinstance(fault, AnymailConfigurationError):
        return _typed("The mail provider's settings are wrong", fault, ErrorKind.CONFIGURATION, whole_kind=True)
    if isinstance(fault, AnymailRecipientsRefused | AnymailInvalidAddress):
        return _typed("The mail provider refused the address", fault, ErrorKind.PERMANENT, bounced=_invalid(fault))
    if not isinstance(fault, AnymailAPIError):
        raise fault
    if (answer := answer_of(fault.response)) is not None:
        return _answered_by_ses(fault, answer)
    if fault.status_code is None:
        return _unanswered(fault)
    return _answered(fault, fault.status_code, wait=fault.response.headers.get("Retry-After", ""))


def _answered_by_ses(fault: AnymailAPIError, answer: Answer) -> TransportError:
    if (verdict := judge_answer(answer)) is None:
        return _answered(fault, answer.status, wait=answer.retry_after)
    wait = retry_after(answer.retry_after, now=datetime.now(UTC))
    return _judged(f"Amazon SES answered {answer.code}", fault, verdict, wait=wait)


def _answered(fault: AnymailAPIError, status: int, *, wait: str) -> TransportError:
    if status in _KEYS_OR_BILLS:
        return _typed("The mail provider does not take our key", fault, ErrorKind.CONFIGURATION, whole_kind=True)
    if status in (_TOO_SLOW, _TOO_MANY) or status >= 500:
        return _typed(
            "The mail provider wants to be left alone",
            fault,
            ErrorKind.TRANSIENT,
            whole_kind=status != _TOO_SLOW,
            unknown=status >= 500,  # it may have taken the mail before it failed
            retry_after=retry_after(wait, now=datetime.now(UTC)),
        )
    if 200 <= status < 300:
        return _typed(
            "The mail provider's answer cannot be read: it may have taken the mail",
            fault,
            ErrorKind.TRANSIENT,
            unknown=True,
        )
    # Anymail has a fault of its own for a refused recipient. What is left is about the sender or the account, which
    # must not cost readers their channels; or about this mail.
    kind = ErrorKind.PERMANENT if status == _TOO_BIG else ErrorKind.CONFIGURATION
    return _typed("The mail provider refused the mail", fault, kind)


def _unanswered(fault: AnymailAPIError) -> TransportError:
    """Only a connection that never came about is known to have carried nothing."""
    if isinstance(fault, _NOT_REACHED) or "NewConnectionError" in repr(fault.__cause__):
        return _typed("The mail provider cannot be reached", fault, ErrorKind.TRANSIENT, whole_kind=True)
    if (verdict := never_left(fault.__cause__)) is not None:
        return _judged("Amazon SES was not asked", fault, verdict)
    return _typed(
        "The mail provider did not answer: it may have taken the mail", fault, ErrorKind.TRANSIENT, unknown=True
    )


def _invalid(fault: Exception) -> bool:
    status = getattr(getattr(fault, "email_message", None), "anymail_status", None)
    return isinstance(fault, AnymailInvalidAddress) or "invalid" in (getattr(status, "status", None) or ())


def _judged(said: str, fault: Exception, verdict: Verdict, *, wait: float | None = None) -> TransportError:
    return _typed(said, fault, verdict.kind, whole_kind=verdict.whole_kind, bounced=verdict.bounced, retry_after=wait)


def _typed(
    said: str,
    fault: Exception,
    kind: ErrorKind,
    *,
    whole_kind: bool = False,
    bounced: bool = False,
    unknown: bool = False,
    retry_after: float | None = None,
) -> TransportError:
    return TransportError(
        f"{said}.",
        kind=kind,
        answer=str(fault)[:2000],
        whole_kind=whole_kind,
        bounced=bounced,
        unknown=unknown,
        retry_after=retry_after,
    )
