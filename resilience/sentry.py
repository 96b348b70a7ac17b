"""Sentry, when `SENTRY_DSN` is set: real exceptions, from workers too, without personal data and secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import sentry_sdk
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.transport import Transport
from sentry_sdk.types import Event, Hint

from resilience.redaction import redact

FLUSH_SECONDS = 2.0


def sentry_start(*, dsn: str, environment: str, transport: Transport | None = None) -> bool:
    """Switches Sentry on. False, and nothing happens, without a DSN."""
    if not dsn:
        return False
    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        send_default_pii=False,
        include_local_variables=False,  # they hold addresses, names and channel secrets
        max_request_body_size="never",
        before_send=before_send,
        transport=transport,
    )
    # django-q2 logs a task's error as text without its traceback; `sentry_task` captures the exception itself.
    ignore_logger("django-q")
    return True


def before_send(event: Event, hint: Hint) -> Event | None:
    """Takes secrets out of an event."""
    return cast(Event, redact(cast(Any, event)))


@contextmanager
def sentry_task(name: str) -> Iterator[None]:
    """Around a worker's task: its own scope and transaction, its exception captured, everything sent at the end.

    The worker's process may be killed at any time after its task, so nothing waits for a later flush.
    """
    if not sentry_sdk.is_initialized():
        yield
        return
    with sentry_sdk.isolation_scope() as scope:
        scope.set_transaction_name(name)
        try:
            with sentry_sdk.start_transaction(op="queue.task", name=name):
                yield
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # django-q2's TimeoutException is a SystemExit
            if not (isinstance(error, SystemExit) and type(error) is SystemExit):
                scope.capture_exception(error)
            raise
        finally:
            sentry_sdk.flush(FLUSH_SECONDS)
