"""Makes the demo's operator, who sees the whole installation in the admin: `python -m demo.operator`."""

from __future__ import annotations

import os

import django

EMAIL = "operator@watchkeeper.example"
PASSWORD = "harbour-light"  # noqa: S105 - of a demo on loopback, printed on the screen


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()

    from accounts.models import User

    if not User.objects.filter(email=EMAIL).exists():
        User.objects.create_superuser(EMAIL, PASSWORD, name="Operator")


if __name__ == "__main__":
    main()
