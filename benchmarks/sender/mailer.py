"""django-mailer, a process of its own: `python -m benchmarks.sender.mailer MESSAGES`. It has one connection."""

from __future__ import annotations

import sys

import django


def main(messages: int) -> None:
    django.setup()
    from django.core.mail import EmailMultiAlternatives
    from django.db import connection
    from mailer.engine import send_all
    from mailer.models import PRIORITY_MEDIUM, Message, MessageLog

    from benchmarks.sender.mails import FROM, Mail, mail
    from benchmarks.sender.measured import tell

    def queued(one: Mail) -> Message:
        content = EmailMultiAlternatives(one.subject, one.text, FROM, [one.address])
        content.attach_alternative(one.html, "text/html")
        row = Message(priority=PRIORITY_MEDIUM)
        row.email = content
        return row

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE mailer_message, mailer_messagelog")
    Message.objects.bulk_create([queued(mail(number)) for number in range(messages)])
    tell(send_all, messages=messages, sent=lambda: MessageLog.objects.filter(result="1").count())


if __name__ == "__main__":
    main(int(sys.argv[1]))
