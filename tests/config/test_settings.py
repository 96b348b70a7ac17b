"""What the settings make of the environment, as the parts that read them see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from config.environment import BASE_DIR

TIME_OUTS = """
import json, django
django.setup()
from django_q.conf import Conf
print(json.dumps([Conf.CLUSTER_NAME, Conf.TIMEOUT, Conf.RETRY]))
"""


@pytest.mark.parametrize(("deployment", "seconds"), [("realtime", 180), ("digest", 180), ("housekeeping", 60)])
def test_only_send_cycles_get_the_time_of_several_deadlines(deployment: str, seconds: int) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "Q_CLUSTER_NAME": deployment,
        "SEND_DEADLINE_SECONDS": "30",
    }

    told = subprocess.run(
        [sys.executable, "-c", TIME_OUTS], cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=True
    )

    assert json.loads(told.stdout) == [deployment, seconds, 3 * seconds + 20]
