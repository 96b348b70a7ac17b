"""What applying a file changes: collected as it goes, printed in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Model

from alerting.setup.document import Document, SetupError
from alerting.setup.twice import Place


@dataclass(frozen=True, slots=True)
class Change:
    """One thing made (no fields) or changed (which fields)."""

    what: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"~ {self.what}: {', '.join(self.fields)}" if self.fields else f"+ {self.what}"


@dataclass(slots=True)
class Applying:
    """One run over one document, inside one transaction."""

    document: Document
    now: datetime
    changes: list[Change] = field(default_factory=list)

    def fault(self, place: Place, what: str) -> SetupError:
        return self.document.fault(place, what)

    def made(self, what: str) -> None:
        self.changes.append(Change(what))

    def changed(self, what: str, *fields: str) -> None:
        self.changes.append(Change(what, fields))

    def bring(self, row: Model, what: str, wanted: dict[str, Any]) -> list[str]:
        """Set the fields of a stored row that differ, save it, note it; which they were."""
        different = [name for name, value in wanted.items() if getattr(row, name) != value]
        if different:
            for name in different:
                setattr(row, name, wanted[name])
            row.save(update_fields=different)
            self.changed(what, *different)
        return different
