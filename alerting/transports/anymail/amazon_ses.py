"""How Amazon SES is asked, and what its errors ask for. Pure, without botocore, which is there only where SES is used.

Anymail hands on what botocore made of the answer: a dict, with no status where other providers' faults have it. Codes
are those of SendEmail in botocore's model `sesv2/2019-09-27`, and of AWS's "Common Errors".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alerting.transports.email.policy import MEND_SETTINGS, WAIT_ALL, Stage, Verdict
from alerting.transports.email.policy import judge as judge_smtp

# The account's rate or its day's quota. The last one says nothing of rates, but botocore too takes it for throttling.
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "LimitExceededException"})
# The account, the domain of the sender, or the configuration set, which are the same for every mail.
_ACCOUNT = frozenset(
    {"AccountSuspendedException", "SendingPausedException", "MailFromDomainNotVerifiedException", "NotFoundException"}
)
_REJECTED = "MessageRejected"
_FORBIDDEN = 403
_MAY_NOT = "AccessDeniedException"
_NO_KEYS = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"})


def client_params(given: Mapping[str, Any], *, deadline: float) -> dict[str, Any]:
    """What boto3's client is made with: `given` by the operator, and an end of each send within `deadline` seconds.

    It takes no time-out for a single call. By default it waits a minute to connect and a minute for each read, and
    sends by itself up to five times in all what may have been taken (botocore's `Config`).
    """
    config = {"connect_timeout": deadline / 4, "read_timeout": deadline / 2, "retries": {"total_max_attempts": 1}}
    return {**given, "config": {**config, **given.get("config", {})}}


@dataclass(frozen=True, slots=True)
class Answer:
    """What botocore read: an HTTP status, an error's code and words, and the header Retry-After."""

    status: int
    code: str
    words: str
    retry_after: str = ""


def answer_of(response: object) -> Answer | None:
    """None for what is no answer of botocore's."""
    if not isinstance(response, Mapping):
        return None
    about, error = response.get("ResponseMetadata") or {}, response.get("Error") or {}
    status = about.get("HTTPStatusCode")
    if not isinstance(status, int):
        return None
    waits = (about.get("HTTPHeaders") or {}).get("retry-after", "")
    return Answer(status, str(error.get("Code", "")), str(error.get("Message", "")), str(waits))


def judge_answer(answer: Answer) -> Verdict | None:
    """None: the code says no more than the status."""
    if answer.code in _THROTTLED:
        return WAIT_ALL
    if answer.code in _ACCOUNT:
        return MEND_SETTINGS
    if answer.code == _REJECTED:
        # By SMTP it is 554 with the same words: mostly the content, but also a sender that is not verified.
        return judge_smtp(Stage.DATA, 554, answer.words)
    if answer.status == _FORBIDDEN and answer.code != _MAY_NOT:
        return MEND_SETTINGS  # the key, its signature or its subscription; a policy may forbid single recipients
    return None


def never_left(fault: BaseException | None) -> Verdict | None:
    """For an error of botocore's own that was raised before anything was sent; None for any other."""
    names = {each.__name__ for each in type(fault).__mro__ if each.__module__ == "botocore.exceptions"}
    if "ConnectionError" in names:  # of its HTTP client, which "failed to establish a connection"
        return WAIT_ALL
    return MEND_SETTINGS if names & _NO_KEYS else None
