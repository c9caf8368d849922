"""The owner of a scratch directory cannot lead a start as root to files elsewhere."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from app.embedded.processes import Account, Held, end, give, spawn, write_private

pytestmark = pytest.mark.tools


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    directory, victim = tmp_path / "scratch", tmp_path / "victim"
    directory.mkdir()
    (directory / "lock").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        Held(directory)
    assert not victim.exists()


def test_a_directory_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (tmp_path / "scratch").symlink_to(victim)
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        Held(tmp_path / "scratch")
    assert list(victim.iterdir()) == []


def test_a_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (tmp_path / "log").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        end(spawn(["true"], account=None, log=tmp_path / "log", on_our_death=signal.SIGKILL))
    assert not victim.exists()


def test_what_a_link_leads_to_is_not_given_away(tmp_path: Path) -> None:
    """One that leads nowhere: there is nothing but the link itself to give."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    give(tmp_path / "link", Account("me", os.geteuid(), os.getegid()))


def test_a_password_is_not_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    (tmp_path / "password").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        write_private(tmp_path / "password", "secret", None)
    assert victim.read_text() == "as it was"
    write_private(tmp_path / "other", "secret", Account("me", os.geteuid(), os.getegid()))
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o600
