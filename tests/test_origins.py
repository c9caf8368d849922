"""Origins and patterns as Medusa's ``storeCors`` spells them: which pages they let read an answer."""

from __future__ import annotations

import pytest

from app.origins import LONGEST_ORIGIN, AllowedOrigins

A, B = "https://a.test", "https://b.test"
TREE = "(" * 2000 + "a" + ")" * 2000


@pytest.mark.parametrize(
    ("setting", "origin", "allowed"),
    [
        ("", None, False),
        ("", "", False),
        (A, A, True),
        (A, None, False),
        (A, B, False),
        (A, A.upper(), False),
        (f"{A},{B}", A, True),
        (f"{A},{B}", B, True),
        (f"{A}, {B}", B, False),  # never trimmed
        ("/a\\.test$/", A, True),
        ("/a\\.test$/", B, False),
        ("/a\\.test$/", f"{A}/x", False),
        (f"{B},/a\\.test$/", A, True),
        *((f"{mark}a\\.test${mark}", A, True) for mark in "/~@;%#'"),
        ("!a\\.test$!", A, False),
        ("/A\\.TEST$/", A, False),
        ("/A\\.TEST$/i", A, True),
        ("/^https/", f"x\n{A}", False),
        ("/^https/m", f"x\n{A}", True),
        ("/a.test/", "https://a\ntest", False),
        ("/a.test/s", "https://a\ntest", True),
        ("/a\\.test$/u", A, True),
        ("/a\\.test$/g", A, True),
        ("/a\\.test$/y", A, True),
        ("/A\\.TEST$/gi", A, True),
        ("/a\\.test$/x", A, False),
        (r"/^https:\/\/(?<name>\w+)\.test$/", A, True),
        (r"/^https:\/\/(?<name>\w)\k<name>\.test$/", "https://aa.test", True),
        (r"/^https:\/\/(?<name>\w)\k<name>\.test$/", "https://ab.test", False),
        (r"/(?<=\/)a\.test$/", A, True),
        (r"/(?<!\/)a\.test$/", A, False),
        (r"/^https:\/\/\w+\.test$/", "https://ä.test", False),  # as in JavaScript
        (r"/^https:\/\/\d+\.test$/", "https://٣.test", False),
        (r"/^https:\/\/\d+\.test$/", "https://3.test", True),
    ],
)
def test_who_may_read(setting: str, origin: str | None, allowed: bool) -> None:
    assert AllowedOrigins(setting).allow(origin) is allowed


def test_no_pattern_is_tried_on_more_than_an_origin_can_have() -> None:
    origins = AllowedOrigins("/^https/")
    assert origins.allow("https://" + "a" * (LONGEST_ORIGIN - 8))
    assert not origins.allow("https://" + "a" * (LONGEST_ORIGIN - 7))


@pytest.mark.parametrize("pattern", ["/[/", "/a{99999999999999999999}/", f"/{TREE}/", "/a/gg", "/a/q"])
def test_a_pattern_that_cannot_be_compiled_is_an_origin_as_it_stands(pattern: str) -> None:
    origins = AllowedOrigins(pattern)
    assert origins.unreadable == [pattern]
    assert (origins.explosive, origins.boundless) == ([], [])
    assert origins.allow(pattern) or len(pattern) > LONGEST_ORIGIN
    assert not origins.allow(A)


@pytest.mark.parametrize(
    "pattern",
    [
        r"/(\d+)+$/",
        r"/(\-+)+$/",
        r"/(_+)+$/",
        r"/(\.+)+$/",
        r"/([A-Z]+)+$/",
        r"/(\/+)+$/",
        r"/(q+)+$/",
        r"/^https?:\/\/x-(z+)+\.test$/",
        r"/(a+)+\./",
    ],
)
def test_a_pattern_that_takes_long_is_not_tried(pattern: str) -> None:
    origins = AllowedOrigins(f"{A},{pattern}")
    assert origins.explosive == [pattern]
    assert (origins.unreadable, origins.boundless) == ([], [])
    assert origins.allow(A)


@pytest.mark.parametrize(
    "pattern", [r"/^https:\/\/([a-z0-9-]+\.)*shop\.test$/", r"/\.test$/i", r"/^https:\/\/a\.test$/"]
)
def test_a_usual_pattern_is_none_of_these(pattern: str) -> None:
    origins = AllowedOrigins(pattern)
    assert (origins.unreadable, origins.explosive, origins.boundless, origins.never_sent) == ([], [], [], [])


def test_what_no_browser_sends_is_listed_once_and_in_order() -> None:
    assert AllowedOrigins(f"z,{A},b,b,/x/").never_sent == ["b", "z"]
    assert AllowedOrigins("").never_sent == []
    assert AllowedOrigins("HTTP://a.test,ftp://a.test,app://x,Null").never_sent == ["HTTP://a.test", "Null"]
