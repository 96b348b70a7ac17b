"""What a worker holds is a row of its own; a message that is held stays pending."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('alerting', '0011_one_attempt_for_each_claim'),
    ]

    operations = [
        migrations.CreateModel(
            name='Lease',
            fields=[
                ('message', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='lease', serialize=False, to='alerting.message')),
                ('token', models.UUIDField()),
                ('until', models.DateTimeField()),
                ('worker', models.CharField(help_text='Host, process and run.', max_length=200)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='message',
            name='message_state_is_known',
        ),
        migrations.RemoveConstraint(
            model_name='message',
            name='a_claim_has_token_and_lease',
        ),
        migrations.RunSQL(
            """
            INSERT INTO alerting_lease (message_id, token, until, worker)
            SELECT id, claim_token, lease_until, claimed_by FROM alerting_message WHERE state = 'claimed';
            UPDATE alerting_message SET state = 'pending' WHERE state = 'claimed';
            """,
            """
            UPDATE alerting_message m
            SET state = 'claimed', claim_token = l.token, lease_until = l.until, claimed_by = l.worker
            FROM alerting_lease l WHERE l.message_id = m.id
            """,
        ),
        # its rows live for a second or two, and what was one takes room until a vacuum
        migrations.RunSQL(
            "ALTER TABLE alerting_lease SET ("
            "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)",
            migrations.RunSQL.noop,
        ),
        migrations.RemoveIndex(
            model_name='message',
            name='message_claimed',
        ),
        migrations.RemoveIndex(
            model_name='message',
            name='message_by_state',
        ),
        migrations.RemoveField(
            model_name='message',
            name='claim_token',
        ),
        migrations.RemoveField(
            model_name='message',
            name='claimed_by',
        ),
        migrations.RemoveField(
            model_name='message',
            name='lease_until',
        ),
        migrations.AlterField(
            model_name='message',
            name='state',
            field=models.CharField(choices=[('pending', 'Pending'), ('sent', 'Sent'), ('failed', 'Failed'), ('cancelled', 'Cancelled'), ('stale', 'Stale'), ('quarantined', 'Quarantined')], default='pending', max_length=16),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('state__in', ['pending', 'sent']), _negated=True), fields=['state', '-id'], name='message_by_state'),
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['pending', 'sent', 'failed', 'cancelled', 'stale', 'quarantined'])), name='message_state_is_known'),
        ),
    ]
