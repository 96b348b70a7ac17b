
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_channel_refusals'),
        ('alerting', '0005_notices'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='message',
            name='lane',
            field=models.CharField(default='', editable=False, max_length=40),
        ),
        migrations.RunSQL(
            """
            UPDATE alerting_message m SET lane =
                CASE WHEN m.kind IN ('digest', 'summary') THEN 'digest:' ELSE 'realtime:' END || c.kind
            FROM accounts_channel c WHERE c.id = m.channel_id
            """,
            migrations.RunSQL.noop,
        ),
        migrations.RemoveIndex(
            model_name='message',
            name='message_pending',
        ),
        migrations.RemoveIndex(
            model_name='message',
            name='message_by_state',
        ),
        migrations.AlterField(
            model_name='message',
            name='message_id',
            field=models.CharField(help_text='Message-ID; the same for every attempt.', max_length=200),
        ),
        migrations.AlterField(
            model_name='message',
            name='organisation',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='messages', to='accounts.organisation'),
        ),
        migrations.AlterField(
            model_name='message',
            name='user',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='messages', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('deaths', 0), ('state', 'pending')), fields=['lane', 'organisation', 'next_attempt_at'], name='message_pending'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('deaths__gt', 0), ('state', 'pending')), fields=['lane', 'organisation', 'next_attempt_at'], name='message_suspect'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('state__in', ['pending', 'claimed', 'sent']), _negated=True), fields=['state', '-id'], name='message_by_state'),
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.UniqueConstraint(fields=('message_id',), name='one_message_per_message_id'),
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.CheckConstraint(condition=models.Q(('lane', ''), _negated=True), name='message_has_a_lane'),
        ),
    ]
