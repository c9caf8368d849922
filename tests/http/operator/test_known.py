"""Medusa's answer about a credential is remembered for ten seconds, for that very credential alone."""

from __future__ import annotations

import pytest

from app.http.operator.known import REMEMBERED, KnownAdmins
from app.ports import Admin, Credential, Unavailable
from tests.simulated_medusa import EMAIL, OTHER, SimulatedMedusa
from tests.world import Api, Shop


class Shopkeeper:
    """Knows admins by their credentials, and counts the questions."""

    def __init__(self) -> None:
        self.admins: dict[tuple[str | None, str | None], Admin] = {}
        self.asked = 0
        self.down = False

    async def sign_in(self, email: str, password: str) -> tuple[Admin, Credential]:
        raise AssertionError(f"{email} signs in elsewhere")

    async def whoami(self, *, cookie: str | None, authorization: str | None) -> Admin | None:
        self.asked += 1
        if self.down:
            raise Unavailable("down")
        return self.admins.get((cookie, authorization))


ADA = Admin("user_1", EMAIL)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of the cache's clock."""
    now = [1000.0]
    monkeypatch.setattr("app.http.operator.known.time.monotonic", lambda: now[0])
    return now


async def test_an_answer_lives_for_ten_seconds(clock: list[float]) -> None:
    shop = Shopkeeper()
    admins = KnownAdmins(shop)
    shop.admins["c", None] = ADA
    for later in (0, 9.9):
        clock[0] = 1000 + later
        assert await admins.whoami(cookie="c", authorization=None) == ADA
    assert shop.asked == 1
    shop.admins.clear()
    clock[0] = 1010.1
    assert await admins.whoami(cookie="c", authorization=None) is None, "deleted in the shop"
    assert REMEMBERED == 10
    shop.admins["c", None] = ADA
    clock[0] = 1020.0
    assert await admins.whoami(cookie="c", authorization=None) is None, "a no is remembered as long"
    assert shop.asked == 2
    clock[0] = 1020.2
    assert await admins.whoami(cookie="c", authorization=None) == ADA


async def test_an_answer_is_for_both_credentials_together(clock: list[float]) -> None:
    shop = Shopkeeper()
    admins = KnownAdmins(shop)
    shop.admins["c", "Bearer a"] = shop.admins["c", None] = shop.admins[None, "Bearer a"] = ADA
    for cookie, bearer in shop.admins:
        assert await admins.whoami(cookie=cookie, authorization=bearer) == ADA
    for cookie, bearer in ((None, "Bearer b"), ("c", "Bearer b"), ("d", "Bearer a"), ("d", None), ("cBearer a", None)):
        assert await admins.whoami(cookie=cookie, authorization=bearer) is None, (cookie, bearer)
    assert await admins.whoami(cookie=None, authorization=None) is None
    assert await admins.whoami(cookie="", authorization="") is None


async def test_no_answer_is_not_remembered(clock: list[float]) -> None:
    shop = Shopkeeper()
    admins = KnownAdmins(shop)
    shop.down = True
    with pytest.raises(Unavailable):
        await admins.whoami(cookie="c", authorization=None)
    shop.down = False
    shop.admins["c", None] = ADA
    assert await admins.whoami(cookie="c", authorization=None) == ADA


async def test_a_thousand_answers_are_remembered(clock: list[float]) -> None:
    shop = Shopkeeper()
    admins = KnownAdmins(shop)
    for number in range(1001):
        await admins.whoami(cookie=f"c{number}", authorization=None)
    await admins.whoami(cookie="c1000", authorization=None)
    assert shop.asked == 1001
    await admins.whoami(cookie="c0", authorization=None)
    assert shop.asked == 1002


async def test_after_an_admin_asked_any_other_token_learns_nothing(
    api: Api, shop: Shop, medusa: SimulatedMedusa
) -> None:
    path = f"/grace/api/orders/{(await shop.place()).id}"
    good = {"authorization": f"Bearer jwt-{OTHER}"}
    assert (await api.client.get(path, headers=good)).status_code == 200
    assert (await api.client.get(path, headers={"cookie": "connect.sid=s:ada"})).status_code == 200
    for bad in (
        {"authorization": "Bearer x"},
        {"authorization": f"Bearer x{OTHER}"},
        {"cookie": "connect.sid=s:other"},
        {"cookie": "connect.sid=s:other", "authorization": "Bearer x"},
        {},
    ):
        assert (await api.client.get(path, headers=bad)).status_code == 401, bad
