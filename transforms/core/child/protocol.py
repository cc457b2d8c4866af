"""What a task of the supervised child is made of: the items it yields, and how it refuses its input."""

from typing import Any

#: What a task yields: JSON-able fields, and a bytes-like payload or None.
Item = tuple[dict[str, Any], Any]
#: What a task yields where it has nothing to say for long.
SIGN_OF_LIFE: Item = ({}, None)


class TaskError(Exception):
    """The task refuses its input: `code` is the failure code, the message one line."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
