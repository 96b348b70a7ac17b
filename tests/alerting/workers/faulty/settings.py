"""The product's settings with the app that makes trouble; `FAULTY_Q_CLUSTER` (JSON) changes django-q2's."""

from __future__ import annotations

import json
import os

from config.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.alerting.workers.faulty"]  # noqa: F405
_faulty = json.loads(os.environ.get("FAULTY_Q_CLUSTER", "{}"))
_alternatives = {name: own | _faulty for name, own in Q_CLUSTER["ALT_CLUSTERS"].items()}  # noqa: F405
Q_CLUSTER = Q_CLUSTER | _faulty | {"ALT_CLUSTERS": _alternatives}  # noqa: F405
