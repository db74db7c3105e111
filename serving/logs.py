"""Logs: one JSON object a line, without histories, texts or secrets, and with hashed user ids."""

import json
import logging
import secrets
import sys
import traceback
from datetime import UTC, datetime
from hashlib import blake2b

_SECRET = secrets.token_bytes(32)
"""User ids are hashed with it, so that a log alone names nobody; it ends with the process."""


def hashed(user: str) -> str:
    """What logs call a user, the same for the life of the process."""
    return blake2b(user.encode("utf-8", "replace"), key=_SECRET, digest_size=8).hexdigest()


class JsonFormatter(logging.Formatter):
    """Formats a record; of an exception only kind and places, since its text can quote data."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": time,
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            kind, _, trace = record.exc_info
            line["error"] = kind.__name__
            line["trace"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(trace)
            ]
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_logs(level: str) -> None:
    """Send all logs to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("serving", "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())
