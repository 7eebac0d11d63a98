"""Privileges are dropped wholly or not at all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from skirret.errors import ImproperlyConfigured
from skirret.worker.identity import identity, refuse_root, take_on

root = pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can become another user")


def elsewhere(code: str) -> subprocess.CompletedProcess:
    head = "import os; from skirret.worker.identity import *; "
    return subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, check=False)


@root
def test_user_group_and_all_groups_change_and_there_is_no_way_back():
    done = elsewhere(
        "os.setgroups([0, 4, 27]); take_on(identity('nobody', None, '027')); "
        "print(os.getresuid(), os.getresgid(), os.getgroups(), oct(os.umask(0)))\n"
        "try: os.setuid(0)\nexcept PermissionError: print('no way back')"
    )
    mine = identity("nobody", None, None)
    user, group = (mine.uid,) * 3, (mine.gid,) * 3
    assert done.stdout.splitlines() == [f"{user} {group} {list(mine.groups)} 0o27", "no way back"], done.stderr


@root
def test_doing_it_twice_is_the_same_as_once():
    done = elsewhere("who = identity('nobody', None, None); print(take_on(who), take_on(who))")
    assert done.stdout == "True False\n"


@root
def test_a_group_alone_is_refused_because_root_stays_root():
    with pytest.raises(ImproperlyConfigured, match="--gid without --uid"):
        take_on(identity(None, 12345, None))


@root
def test_one_that_is_not_root_cannot_become_another():
    done = elsewhere("take_on(identity('nobody', None, None)); take_on(identity(0, 0, None))")
    assert "only the superuser can change user or group" in done.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("nosuchuser", None, None), "there is no user 'nosuchuser'"),
        ((None, "nosuchgroup", None), "there is no group 'nosuchgroup'"),
        ((987654, None, None), "give one with --gid"),
        ((None, None, "999"), "no file mode mask"),
        ((None, None, 0o10000), "no file mode mask"),
    ],
)
def test_what_does_not_exist_is_named(arguments, words):
    with pytest.raises(ImproperlyConfigured, match=words):
        identity(*arguments)


def test_a_number_without_an_entry_gets_no_groups_but_its_own():
    assert identity("987654", "55", None).groups == (55,)


def test_root_does_not_decode_pickle_unless_forced(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    refuse_root(["json"])
    with pytest.raises(ImproperlyConfigured, match="C_FORCE_ROOT=1"):
        refuse_root(["json", "pickle"])
    monkeypatch.setenv("C_FORCE_ROOT", "1")
    refuse_root(["json", "pickle"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("C_FORCE_ROOT")
    refuse_root(["pickle"])
