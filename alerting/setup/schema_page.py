"""Writes `docs/setup.schema.json` from the setup file's shape: `python -m alerting.setup.schema_page`.

An editor that knows JSON Schema checks a setup file with it while it is written.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "setup.schema.json"


def schema_page() -> str:
    """The JSON Schema of a setup file, as text. Django must be set up."""
    from alerting.setup.schema import Setup

    return json.dumps(Setup.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    PAGE.write_text(schema_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
