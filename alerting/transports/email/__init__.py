"""E-mail by SMTP."""

from __future__ import annotations

from alerting.transports.email.connection import EmailTransport, SmtpSettings, smtp_settings

__all__ = ["EmailTransport", "SmtpSettings", "smtp_settings"]
