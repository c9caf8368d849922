"""Ask the shop who somebody is, and remember the answer for a moment."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from typing import Final

from app.ports import Admin, Admins

REMEMBERED: Final = 10.0
"""Seconds. Whoever is signed out in the shop is unknown here so much later at the latest."""
_MANY: Final = 1000


class KnownAdmins:
    """Answers of ``Admins.whoami``, by a hash of the credential: the credential itself is not kept."""

    def __init__(self, admins: Admins) -> None:
        self._admins = admins
        self._answers: OrderedDict[str, tuple[float, Admin | None]] = OrderedDict()

    async def whoami(self, *, cookie: str | None, authorization: str | None) -> Admin | None:
        """The admin of the shop's own session cookie or bearer token. Raises ``Unavailable``."""
        if not cookie and not authorization:
            return None
        key = hashlib.sha256(f"{cookie or ''}\n{authorization or ''}".encode()).hexdigest()
        known = self._answers.get(key)
        if known is not None and time.monotonic() - known[0] < REMEMBERED:
            return known[1]
        admin = await self._admins.whoami(cookie=cookie, authorization=authorization)
        self._answers[key] = time.monotonic(), admin
        self._answers.move_to_end(key)
        while len(self._answers) > _MANY:
            self._answers.popitem(last=False)
        return admin
