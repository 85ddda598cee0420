"""The real time."""

from datetime import UTC, datetime


class SystemClock:
    """Implements ``isthmus.ports.Clock``."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        return datetime.now(UTC)
