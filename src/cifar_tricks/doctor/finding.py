"""One line of what the doctor says."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, FAIL = "ok", "note", "FAIL"


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Args:
        name: what it is about.
        state: OK; NOTE, which is no obstacle; or FAIL, where the study would not work.
        text: what was found, and for FAIL what to do; becomes one line.
    """

    name: str
    state: str
    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", " ".join(self.text.split()))
