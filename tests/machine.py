"""An emulated machine with Debian's kernel, for what the kernel of this one can't do.

It sees what it needs of this machine's programs, read-only, below a layer of its own in memory; so
the same Python with the same packages runs there. It needs no KVM and no network.
"""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(sys.prefix) / "cache" / "machine"
"""In the virtual environment: a fresh one gets a fresh kernel."""
META = "linux-image-cloud-amd64"
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "mkfs.xfs": "xfsprogs",  # it has the programs of this system, and no network to get more
    "mkfs.ext4": "e2fsprogs",
}
VIRTIOFSD = Path("/usr/lib/qemu/virtiofsd")
SYSTEM = [Path(f"/{name}") for name in ("bin", "etc", "lib", "lib64", "sbin", "usr")]
MODULES = ("virtio_pci", "virtiofs", "overlay", "loop", "quota_v2", "ext4", "xfs")
MEMORY = "3G"

START = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /host /layer /new
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
for module in {modules}; do insmod /modules/$module.ko || echo "no $module"; done
mount -t virtiofs -o ro host /host
mount -t tmpfs none /layer
mkdir /layer/data /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/data,workdir=/layer/work none /new
mkdir -p -m 1777 /new/tmp
mkdir -p /new/proc /new/sys /new/dev /new/root /new/run
cp /script /bin/busybox /new/run
for mount in proc sys dev; do mount --move /$mount /new/$mount; done
exec switch_root /new /run/busybox sh /run/script
"""
SCRIPT = """
echo "up after $(cut -d' ' -f1 /proc/uptime) s"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 {environment}
cd /tmp
{command}
echo "ended after $(cut -d' ' -f1 /proc/uptime) s"
cat /run/answer > /dev/ttyS1
/run/busybox poweroff -f
"""


class NoMachine(RuntimeError):
    """None can be had here; the message says why."""


@dataclass(frozen=True)
class Ran:
    """What a machine left.

    Attributes:
        console: all that it printed, its kernel's lines too.
        answer: the file /run/answer.
    """

    console: str
    answer: str


def run(
    command: str, trees: Iterable[Path], seconds: float, environment: dict[str, str] | None = None
) -> Ran:
    """Start a machine, run a line of shell as its root, and end it.

    Args:
        trees: folders that it sees at the same paths, next to the system and this Python.
        seconds: after which it is ended, whatever it does.

    Raises:
        NoMachine
    """
    _install()
    kernel, modules = _kernel()
    environment = {"PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
    words = " ".join(f"{name}='{value}'" for name, value in environment.items())
    with tempfile.TemporaryDirectory(prefix="machine-") as name:
        folder = Path(name)
        script = SCRIPT.format(command=command, environment=words)
        memory = _first_files(folder, modules, script)
        seen = [*SYSTEM, Path(sys.prefix), Path(sys.base_prefix), *trees]
        with _exported(folder, seen) as socket:
            console = _qemu(folder, kernel, memory, socket, seconds)
        answer = (folder / "answer").read_text(errors="replace").replace("\r\n", "\n")
    return Ran(console, answer)


# -- what it is made of -----------------------------------------------------------------------


def _install() -> None:
    """By apt on Debian as root."""
    if os.uname().machine != "x86_64":
        raise NoMachine("The kernel that is emulated is one for x86_64.")
    if os.geteuid() != 0:
        raise NoMachine("Only root shows a machine a part of this one's folders.")
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if not VIRTIOFSD.exists():
        missing.append("qemu-system-common")
    if not shutil.which("apt-get"):
        raise NoMachine("Its kernel comes from Debian, by apt-get.")
    if missing:
        _apt("update", "--quiet")
        _apt("install", "--yes", "--quiet", "--no-install-recommends", *missing)
    if not VIRTIOFSD.exists():
        raise NoMachine(f"There is no {VIRTIOFSD}, which Debian 12 has in qemu-system-common.")


def _apt(*arguments: str, cwd: Path | None = None) -> None:
    command = ["apt-get", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd)
    if done.returncode:
        raise NoMachine(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-300:]}")


def _kernel() -> tuple[Path, Path]:
    """The kernel, and the folder of its modules: fetched once, and never installed here."""
    if not (CACHE / "boot").is_dir():
        package = _package()
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE.parent) as name:
            _apt("download", "--quiet", package, cwd=Path(name))
            (file,) = Path(name).glob("*.deb")
            subprocess.run(["dpkg", "-x", file, f"{name}/kernel"], check=True)
            shutil.rmtree(CACHE, ignore_errors=True)
            os.replace(f"{name}/kernel", CACHE)
    (kernel,) = (CACHE / "boot").glob("vmlinuz-*")
    (modules,) = (CACHE / "lib" / "modules").iterdir()
    return kernel, modules


def _package() -> str:
    """The name of Debian's present kernel, which changes with each of its versions."""
    for attempt in range(2):
        command = ["apt-cache", "depends", META]
        said = subprocess.run(command, capture_output=True, text=True).stdout
        for line in said.splitlines():
            if line.strip().startswith("Depends: linux-image-"):
                return line.split()[-1]
        if not attempt:
            _apt("update", "--quiet")
    raise NoMachine(f"apt knows no {META}.")


def _first_files(folder: Path, modules: Path, script: str) -> Path:
    """The archive that the kernel starts from."""
    root = folder / "first"
    (root / "bin").mkdir(parents=True)
    (root / "modules").mkdir()
    shutil.copy(shutil.which("busybox") or "", root / "bin" / "busybox")
    names = []
    for file in _ordered(modules):
        shutil.copy(file, root / "modules")
        names.append(file.stem)
    (root / "init").write_text(START.format(modules=" ".join(names)))
    (root / "init").chmod(0o755)
    (root / "script").write_text(script)
    paths = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    command = ["cpio", "--quiet", "--create", "--format=newc"]
    archive = subprocess.run(command, input=paths.encode(), capture_output=True, cwd=root)
    memory = folder / "first.gz"
    memory.write_bytes(gzip.compress(archive.stdout, 1))
    return memory


def _ordered(modules: Path) -> list[Path]:
    """The files of the modules, each after those that it needs."""
    if not (modules / "modules.dep").exists():
        base = str(modules.parent.parent.parent)
        subprocess.run(["busybox", "depmod", "-b", base, modules.name], check=True)
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        file, _, others = line.partition(":")
        needs[Path(file).stem.replace("-", "_")] = file, others.split()
    found: dict[str, None] = {}
    for name in MODULES:
        if name in needs:  # else it is in the kernel itself
            file, others = needs[name]
            found |= dict.fromkeys(_deepest_first(others, needs))
            found[file] = None
    return [modules / file for file in found]


def _deepest_first(files: list[str], needs: dict[str, tuple[str, list[str]]]) -> list[str]:
    def depth(file: str) -> int:
        return len(needs[Path(file).stem.replace("-", "_")][1])

    return sorted(files, key=depth)


# -- how it runs ------------------------------------------------------------------------------


@contextmanager
def _exported(folder: Path, trees: list[Path]) -> Iterator[Path]:
    """Folders of this machine, read-only, for as long as this is open; yields a socket.

    They are mounted where only the server of the socket sees them: nothing stays behind.
    """
    root, socket = folder / "seen", folder / "socket"
    root.mkdir()
    lines = [f"mount --make-rprivate / && mount -t tmpfs none {root}"]
    mounted: list[Path] = []
    for tree in trees:
        if tree.is_symlink():  # as /bin is to /usr/bin
            lines.append(f"ln -s '{os.readlink(tree)}' '{root}{tree}'")
        elif tree.is_dir() and not any(tree.is_relative_to(other) for other in mounted):
            mounted.append(tree)
            place = f"'{root}{tree}'"
            lines.append(
                f"mkdir -p {place} && mount --bind '{tree}' {place}"
                f" && mount -o remount,bind,ro {place}"
            )
    server = f"exec {VIRTIOFSD} --socket-path={socket} -o source={root},sandbox=chroot,cache=always"
    command = ["unshare", "--mount", "sh", "-ec", "\n".join([*lines, server])]
    log = folder / "virtiofsd.log"
    with log.open("wb") as output, _ended(command, output) as process:
        for _ in range(100):
            if socket.exists():
                break
            if process.poll() is not None:
                raise NoMachine(f"virtiofsd: {log.read_text().strip()[-300:]}")
            time.sleep(0.1)
        yield socket


def _qemu(folder: Path, kernel: Path, memory: Path, socket: Path, seconds: float) -> str:
    console = folder / "console"
    command = [
        *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "Nehalem", "-smp", "1", "-m", MEMORY),
        *("-object", f"memory-backend-memfd,id=memory,size={MEMORY},share=on"),
        *("-numa", "node,memdev=memory", "-nodefaults", "-no-user-config", "-no-reboot"),
        *("-display", "none", "-nic", "none", "-kernel", str(kernel), "-initrd", str(memory)),
        *("-append", "console=ttyS0 quiet panic=-1 mitigations=off"),
        *("-serial", f"file:{console}", "-serial", f"file:{folder / 'answer'}"),
        *("-chardev", f"socket,id=host,path={socket}"),
        *("-device", "vhost-user-fs-pci,chardev=host,tag=host"),
    ]
    log = folder / "qemu.log"
    with log.open("wb") as output, _ended(command, output) as process:
        try:
            process.wait(seconds)
            late = ""
        except subprocess.TimeoutExpired:
            late = f"\nIt was ended after {seconds} s."
    said = console.read_text(errors="replace") if console.exists() else ""
    return said.replace("\r\n", "\n") + log.read_text(errors="replace") + late


@contextmanager
def _ended(command: list[str], output) -> Iterator[subprocess.Popen[bytes]]:
    """A process, ended with all that it started."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
