"""django-post_office, a process of its own: `python -m benchmarks.sender.post_office MESSAGES PROCESSES`.

Threads and batch size come from its settings. An outcome is written when its whole batch is done.
"""

from __future__ import annotations

import sys

import django


def main(messages: int, processes: int) -> None:
    django.setup()
    from django.db import connection
    from post_office.mail import get_queued, send_many, send_queued
    from post_office.models import PRIORITY, STATUS, Email

    from benchmarks.sender.mails import FROM, mail
    from benchmarks.sender.measured import tell

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE post_office_email CASCADE")
    mails = [mail(number) for number in range(messages)]
    send_many(
        [
            {
                "sender": FROM,
                "recipients": [one.address],
                "subject": one.subject,
                "message": one.text,
                "html_message": one.html,
                "priority": PRIORITY.medium,
            }
            for one in mails
        ]
    )

    def send() -> None:
        # as its command does, without the lock file
        while True:
            send_queued(processes)
            connection.close()
            if not get_queued().exists():
                break

    tell(send, messages=messages, sent=lambda: Email.objects.filter(status=STATUS.sent).count())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
