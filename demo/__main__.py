"""`python -m demo`: the whole product on this machine, in one terminal. Ctrl-C stops it; the data stay in `var`."""

from __future__ import annotations

import sys

from config.embedded_postgres import EmbeddedPostgresFault
from config.environment import EnvironmentFault
from demo.supervisor import DemoFault, run

if __name__ == "__main__":
    try:
        sys.exit(run())
    except (DemoFault, EmbeddedPostgresFault, EnvironmentFault) as fault:
        sys.exit(str(fault))
