"""What came of a cycle: counted for its row, its log line and the metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from resilience.metrics import counter, histogram

MESSAGES = counter("messages", "Messages that a send cycle ended or put off.", ("cadence", "outcome"))
POSSIBLE_REPEATS = counter("possible_repeats", "Messages whose arrival is not known; they are sent again.")
RECOVERED = counter("acceptances_recovered", "Messages that were recorded as accepted from what a worker left behind.")
SENDING_SECONDS = histogram("sending_seconds", "Time on the wire of one message.", ("kind",))
LATENESS_SECONDS = histogram(
    "lateness_seconds",
    "From due to sent.",
    ("cadence",),
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400),
)
CYCLES = counter("send_cycles", "Send cycles by how they ended.", ("cadence", "outcome"))


@dataclass(slots=True)
class Counts:
    """Numbers of one cycle; the names are those of `SendCycleRun`."""

    claimed: int = 0
    sent: int = 0
    retried: int = 0
    failed: int = 0
    cancelled: int = 0
    stale: int = 0
    released: int = 0

    def add(self, outcome: str, cadence: str, number: int = 1) -> None:
        setattr(self, outcome, getattr(self, outcome) + number)
        MESSAGES.labels(cadence=cadence, outcome=outcome).inc(number)

    def as_dict(self) -> dict[str, int]:
        return asdict(self)

    def add_all(self, other: Counts) -> None:
        """Take over what another thread counted; the metrics have it already."""
        for name, number in other.as_dict().items():
            setattr(self, name, getattr(self, name) + number)

    def did_something(self) -> bool:
        return any(self.as_dict().values())
