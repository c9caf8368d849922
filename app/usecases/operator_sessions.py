"""Begin, check and end sessions of the operator's page. The row decides, so that an end holds in every process."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Final

import structlog

from app.ports import Admin, Admins, Credential, Services, Unavailable
from app.store import operator_sessions
from app.store.operator_sessions import SessionRow

log = structlog.get_logger()

IDLE_TIMEOUT: Final = timedelta(minutes=30)
LIFETIME: Final = timedelta(hours=8)
CHECK_INTERVAL: Final = timedelta(minutes=1)
"""How often activity is written, and the shop is asked about an admin who only reads."""
KEPT: Final = timedelta(days=30)


class EndReason(StrEnum):
    """Why a session ended."""

    SIGNED_OUT = "signed_out"
    REPLACED = "replaced"
    """The same browser signed in again."""
    IDLE = "idle"
    EXPIRED = "expired"
    ACCESS_LOST = "access_lost"
    """The shop no longer knows the admin by the credential that the session began with."""


async def begin_session(
    services: Services, id_hash: bytes, admin: Admin, *, credential: bytes, origin: bytes, address: str | None
) -> None:
    """Insert the session's row, and remove old ones."""
    async with services.db.transaction("operator.session_begin") as conn:
        await operator_sessions.remove_old(conn, kept=KEPT)
        await operator_sessions.insert(conn, id_hash, admin.id, credential, origin)
    log.info("operator.session_begun", actor=admin.email, session=_short(id_hash), address=address)


async def is_known_origin(services: Services, origin: bytes) -> bool:
    """Whether the account was signed in to from that address lately. Raises ``Unavailable``."""
    async with services.db.read("operator.origin") as conn:
        return await operator_sessions.is_known_origin(conn, origin)


async def find_session(services: Services, id_hash: bytes, *, active: bool) -> SessionRow | None:
    """The row of a session that is live; ``None`` when it is over, or never had a row.

    ``active``: the operator did something, which a page that renews itself does not show.
    """
    async with services.db.read("operator.session") as conn:
        row = await operator_sessions.read(conn, id_hash, idle=IDLE_TIMEOUT, lasts=LIFETIME, check_every=CHECK_INTERVAL)
    if row is None or row.ended:
        return None
    if row.over is not None:
        await end_session(services, id_hash, EndReason(row.over))
        return None
    if active and row.touch_due:
        async with services.db.single("operator.session_touch") as conn:
            await operator_sessions.touch(conn, id_hash)
    return row


async def end_session(services: Services, id_hash: bytes, reason: EndReason) -> None:
    """End the session in every process. Safe to repeat."""
    async with services.db.single("operator.session_end") as conn:
        ended = await operator_sessions.end(conn, id_hash, reason.value)
    if ended:
        log.info("operator.session_ended", session=_short(id_hash), reason=reason.value)


async def recheck_admin(
    services: Services, admins: Admins, id_hash: bytes, admin_id: str, credential: Credential | None
) -> bool:
    """As ``confirm_admin``, once in ``CHECK_INTERVAL`` at most; a shop that does not answer ends no session."""
    async with services.db.single("operator.session_check") as conn:
        claimed = await operator_sessions.claim_check(conn, id_hash, check_every=CHECK_INTERVAL)
    if not claimed:
        return True
    try:
        return await confirm_admin(services, admins, id_hash, admin_id, credential)
    except Unavailable as error:
        log.warning("operator.session_unchecked", session=_short(id_hash), error=str(error))
        return True


async def confirm_admin(
    services: Services, admins: Admins, id_hash: bytes, admin_id: str, credential: Credential | None
) -> bool:
    """Ask the shop whether the session's admin still is one. If not, the session ends.

    Raises ``Unavailable`` when the shop does not answer: then nothing is known, and nothing may be done.
    """
    admin = None
    if credential is not None:
        admin = await admins.whoami(cookie=credential.cookie, authorization=credential.authorization)
    if admin is not None and admin.id == admin_id:
        return True
    await end_session(services, id_hash, EndReason.ACCESS_LOST)
    return False


def _short(id_hash: bytes) -> str:
    return id_hash.hex()[:12]
