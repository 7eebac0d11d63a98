"""The file is its owner's alone, and where it cannot be safe or cannot be written the error says so."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess

import pytest

from skirret.backends.sqlite import SqliteBackend
from skirret.brokers.open import open_broker
from skirret.brokers.sqlite import SqliteBroker
from skirret.errors import BackendError, ImproperlyConfigured, OperationalError
from skirret.stores.sqlite import files
from skirret.testing.conformance.material import ids, message, record

MIB = 1024 * 1024


def mode(path):
    return path.stat().st_mode & 0o777


@pytest.fixture
def mount(tmp_path):
    """Mounts a small disk of its own; needs root's rights."""
    mounted = []

    def mount(options):
        place = tmp_path / "disk"
        place.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount a disk")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", place], check=False)


def test_nobody_else_may_read_the_file_or_ring_its_bells(broker, consume, path):
    consume()
    assert mode(path.parent) == 0o700
    for name in ("", "-wal", "-shm", ".wlock"):
        assert mode(path.with_name(path.name + name)) == 0o600, name
    assert mode(path.with_name(path.name + ".bells")) == 0o700


def test_the_directory_is_kept_out_of_version_control(broker, path):
    broker.names()
    assert (path.parent / ".gitignore").read_text() == "*\n"


def test_a_directory_that_exists_is_left_as_it_is(tmp_path):
    tmp_path.chmod(0o755)
    broker = SqliteBroker(tmp_path / "queue.sqlite3")
    broker.names()
    broker.close()
    assert mode(tmp_path) == 0o755
    assert not (tmp_path / ".gitignore").exists()


def test_a_file_of_another_program_is_refused_and_left_untouched(tmp_path):
    foreign = tmp_path / "shop.db"
    with contextlib.closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE orders (id)")
    before = foreign.read_bytes()
    with pytest.raises(ImproperlyConfigured, match=r"another program.*Name a file of its own"):
        SqliteBroker(foreign).names()
    assert foreign.read_bytes() == before
    assert list(tmp_path.iterdir()) == [foreign]


def test_a_file_that_is_no_database_is_refused_and_left_untouched(tmp_path):
    foreign = tmp_path / "notes.txt"
    foreign.write_text("dear diary, " * 1000)
    with pytest.raises(ImproperlyConfigured, match=r"not a SQLite database.*Name another file"):
        SqliteBroker(foreign).names()
    assert foreign.read_text() == "dear diary, " * 1000


def test_a_directory_in_its_place_is_an_error_that_says_so(path):
    path.mkdir(parents=True)
    with pytest.raises(OperationalError, match="it is a directory"):
        SqliteBroker(path).names()
    with pytest.raises(BackendError, match="it is a directory"):
        SqliteBackend(path).fetch(["x"])


def test_a_directory_that_cannot_be_made_is_an_error_that_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OperationalError, match=r"does not exist and cannot be made.*SKIRRET_HOME"):
        SqliteBroker(tmp_path / "file" / "queue.sqlite3").names()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_refused(tmp_path, monkeypatch, kind):
    share = tmp_path / "my share"
    share.mkdir()
    mounts = tmp_path / "mountinfo"
    escaped = str(share).replace(" ", "\\040")
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"40 22 0:35 / {escaped} rw,relatime shared:2 - {kind} server:/x rw\n"
    )
    monkeypatch.setattr(files, "MOUNTS", mounts)
    with pytest.raises(ImproperlyConfigured, match=rf"network file system \({kind}\).*SKIRRET_HOME"):
        SqliteBroker(share / "q" / "queue.sqlite3").names()
    assert files.file_system(tmp_path / "elsewhere") == "ext4"


def test_a_read_only_disk_is_an_error_that_says_so(mount):
    disk = mount("size=8m")
    broker = SqliteBroker(disk / "q" / "queue.sqlite3")
    broker.publish([message("one", "q")])
    broker.close()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(OperationalError, match=r"read-only.*SKIRRET_HOME"):
        broker.publish([message("two", "q")])
    with pytest.raises(OperationalError, match=r"read-only.*SKIRRET_HOME"):
        SqliteBroker(disk / "other" / "queue.sqlite3").names()
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    broker.publish([message("three", "q")])
    assert [one.task_id for one in broker.peek("q")] == ["one", "three"]
    broker.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_file_is_an_error_that_says_so(broker, path, publish):
    publish()
    broker.close()
    path.chmod(0o400)
    with pytest.raises(OperationalError, match=r"read-only.*SKIRRET_HOME"):
        publish()


def test_a_full_disk_raises_loses_nothing_and_works_again_with_space(mount):
    disk = mount("size=6m")
    broker = SqliteBroker(disk / "q" / "queue.sqlite3")
    consumer = broker.consumer(["q"], "c")
    ballast = disk / "ballast"
    stored = []
    broker.publish([message("held", "q")])
    (_held,) = consumer.take(1, 0)
    with pytest.raises(OperationalError, match=r"is full.*free some space"):  # noqa: PT012  until it is
        for number in range(100):
            if number == 5:
                ballast.write_bytes(bytes(2 * MIB))
            broker.publish([message(str(number), "q", body=os.urandom(100_000))])
            stored.append(str(number))
    assert len(stored) > 5
    assert broker.size("q").ready == len(stored)
    ballast.unlink()
    broker.publish([message("after", "q")])
    taken = []
    while batch := consumer.take(100, 0):
        taken += ids(batch)
    assert taken == [*stored, "after"]
    consumer.close()
    with contextlib.closing(sqlite3.connect(disk / "q" / "queue.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    broker.close()


def test_a_file_that_may_not_grow_raises_and_changes_nothing(broker, backend, store, publish):
    publish(2)
    backend.store([record("old", payload=b"kept")])
    with store.lent() as session, store.reading(session) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 10}")
    with pytest.raises(OperationalError, match="is full"):
        broker.publish([message(str(n), "q", body=bytes(20_000)) for n in range(10)])
    with pytest.raises(BackendError, match="is full"):
        backend.store([record(str(n), payload=bytes(20_000)) for n in range(10)])
    assert broker.size("q").ready == 2
    assert backend.fetch(["old", "0"]) == {"old": b"kept"}
    with store.lent() as session, store.reading(session) as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    publish()
    assert broker.size("q").ready == 3


def test_a_file_that_is_deleted_under_a_worker_is_made_anew_and_fences_it(broker, consume, publish, path):
    publish()
    consumer = consume()
    (_held,) = consumer.take(1, 0)
    for one in path.parent.iterdir():
        if one.is_file():
            one.unlink()
    publish()
    assert consumer.take(1, 5.0) == []
    assert consumer.fenced
    assert len(consume().take(10, 0)) == 1


@pytest.mark.parametrize("text", ["0", "-1", "soon", "inf", "nan"])
def test_a_timeout_that_makes_no_sense_is_refused(text):
    with pytest.raises(ImproperlyConfigured, match="positive number of seconds"):
        open_broker(f"sqlite:///x.db?timeout={text}")
