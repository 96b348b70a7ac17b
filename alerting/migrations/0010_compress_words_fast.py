"""The words of a message are 13 KB of HTML: to compress them takes the server as long as all else that keeps them."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("alerting", "0009_vacuum_the_queue")]

    operations = [
        # lz4 takes half the time. A server that was built without it keeps PostgreSQL's own way.
        migrations.RunSQL(
            """
            DO $$ BEGIN
                ALTER TABLE alerting_message
                    ALTER COLUMN text SET COMPRESSION lz4, ALTER COLUMN html SET COMPRESSION lz4;
            EXCEPTION WHEN feature_not_supported THEN NULL;
            END $$
            """,
            """
            ALTER TABLE alerting_message
                ALTER COLUMN text SET COMPRESSION DEFAULT, ALTER COLUMN html SET COMPRESSION DEFAULT
            """,
        ),
    ]
