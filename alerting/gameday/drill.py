"""What a drill is: a name, what it breaks, and a function that breaks it and checks what must hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from alerting.gameday.stage import Stage

Play = Callable[[Stage], None]
PRODUCTION_LADDER = "30,120,600,3600,14400"  # of RETRY_LADDER_SECONDS, whose waits are seconds in most drills


class CannotBePlayed(Exception):
    """This machine lacks something that the drill needs; the text says what. It is skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One outage. `play` is called on a fresh stage; its docstring is the drill's promise, in words."""

    name: str
    broke: str
    play: Play
    processes: bool = False  # starts real workers, and so takes longer
    own_server: bool = False  # breaks the database server: it gets one of its own
    environment: Mapping[str, str] = field(default_factory=dict)  # settings of its own
    seconds: float = 150.0  # a drill that takes longer is stuck

    @property
    def promise(self) -> str:
        return " ".join((self.play.__doc__ or "").split())


def drill(
    name: str,
    *,
    broke: str,
    processes: bool = False,
    own_server: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Callable[[Play], Drill]:
    """Make the function below a drill."""

    def make(play: Play) -> Drill:
        return Drill(
            name=name,
            broke=broke,
            play=play,
            processes=processes,
            own_server=own_server,
            environment=environment or {},
        )

    return make
