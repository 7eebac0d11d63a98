"""Where RabbitMQ's programs come from: Debian's package, or RabbitMQ 4 of a later Debian in a directory of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers.lacking import lacking
from tests.servers.redis_servers import CACHE

SERVER = "usr/lib/rabbitmq/bin/rabbitmq-server"
"""Not the one in /usr/sbin, which becomes another user and knows one node per machine."""
EPMD = "usr/bin/epmd"
"""What tells the nodes of a machine apart."""


@dataclass(frozen=True)
class Programs:
    """RabbitMQ as it is installed below a root directory.

    Args:
        root: the machine's own, or that of another Debian.
    """

    root: Path = Path("/")

    def words(self, program: str, directory: Path) -> list[str]:
        """The command line that becomes a program, which sees a directory at the path that it has here.

        It becomes it by exec, so the process that is started is the program and nothing stands between.
        """
        if self.root == Path("/"):
            return [f"/{program}"]
        seen = shlex.quote(f"{self.root}{directory}")
        root = shlex.quote(str(self.root))
        mounts = [
            f"mkdir -p {seen}",
            f"mount --bind {shlex.quote(str(directory))} {seen}",
            f"mount -t proc proc {root}/proc",
            f"mount --bind /dev {root}/dev",
        ]
        script = " && ".join([*mounts, f'exec chroot {root} /{program} "$@"'])
        return ["unshare", "--mount", "sh", "-c", script, program]


def rabbitmq() -> Programs:
    """The machine's RabbitMQ (3.10 on Debian 12), installed by apt where this is root."""
    if not Path("/", SERVER).exists() and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(["apt-get"], "rabbitmq-server")
    if not Path("/", SERVER).exists():
        lacking("RabbitMQ", "apt-get install rabbitmq-server")
    return Programs()


def rabbitmq4() -> Programs:
    """RabbitMQ 4: Debian 13 in a directory, which takes a minute and 600 MB the first time, and root always."""
    root = CACHE / "debian-13"
    if os.geteuid() == 0 and not (root / SERVER).exists():
        if not shutil.which("debootstrap"):
            _install(["apt-get"], "debootstrap")
        fresh = root.with_name(f"{root.name}.{os.getpid()}")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        bootstrap = ["debootstrap", "--variant=minbase", "trixie", str(fresh), "http://deb.debian.org/debian"]
        if subprocess.run(bootstrap, capture_output=True, check=False, timeout=900).returncode == 0:
            policy = fresh / "usr/sbin/policy-rc.d"
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
            _install(["chroot", str(fresh), "apt-get"], "rabbitmq-server")
        if (fresh / SERVER).exists():
            fresh.rename(root)
        else:
            shutil.rmtree(fresh, ignore_errors=True)
    if os.geteuid() != 0 or not (root / SERVER).exists():
        lacking("RabbitMQ 4", "as root, debootstrap trixie and rabbitmq-server in it")
    return Programs(root)


def _install(apt: list[str], package: str) -> None:
    """Install a package without starting what it brings; its list of packages is fetched first where that is needed."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = [*apt, "install", "-y", "-qq", "--no-install-recommends", package]
    for words in (install, [*apt, "update", "-qq"], install):
        ended = subprocess.run(words, env=environment, capture_output=True, check=False, timeout=600)
        if words is install and ended.returncode == 0:
            return
