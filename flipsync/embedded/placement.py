"""Where a server's files lie and as whom it runs.

An ordinary user's servers run as that user, inside the data folder. PostgreSQL refuses to run as root, so root's
servers run as an account that exists already, and that account must reach its files. Parents are never opened for
it: when the data folder or the programs lie out of its reach (/root/…), they are placed in a root-owned folder that
can be passed through but not listed, and the data folder keeps a symbolic link.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from flipsync.domain.errors import Unavailable
from flipsync.embedded.process import Account

ACCOUNTS = ("postgres", "nobody")
SYSTEM_ROOT = Path("/var/lib/flipsync")


@dataclass(frozen=True)
class Programs:
    """An installed server. `folders` below `root` are what it needs beside itself, at the same relative places."""

    root: Path
    folders: tuple[str, ...]
    bin: str

    def files(self) -> list[Path]:
        """Every file that the server's account has to read, as paths below `root`."""
        return [
            path.relative_to(self.root)
            for folder in self.folders
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file() and not _left_out(path.relative_to(self.root))
        ]


@dataclass(frozen=True)
class Placement:
    """`data` belongs to `account`; `programs` is the folder of the server's programs, readable to it."""

    data: Path
    programs: Path
    account: Account


def server_account() -> Account:
    """Ourselves, or for root an unprivileged account that exists. Raises Unavailable when there is none."""
    if os.geteuid() != 0:
        return Account.current()
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid:
            return Account(entry.pw_uid, entry.pw_gid)
    raise Unavailable(
        f"PostgreSQL does not run as root, and this machine has no account named {' or '.join(ACCOUNTS)}",
        hint="run FlipSync as an ordinary user, or give a managed server with DATABASE_URL",
    )


def may_pass(path: Path, account: Account) -> bool:
    """True when the permission bits let `account` pass through every folder above `path` and into it."""
    resolved = path.resolve()
    return all(_allows(folder, account, stat.S_IXOTH) for folder in (*resolved.parents, resolved))


def _allows(path: Path, account: Account, bit: int) -> bool:
    status = path.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & (bit << 6))
    if status.st_gid == account.gid:
        return bool(status.st_mode & (bit << 3))
    return bool(status.st_mode & bit)


def place(directory: Path, programs: Programs) -> Placement:
    """Settle data and programs for a server whose own folder is `directory` (made when missing, mode 0700 or 0711).

    Raises Unavailable when no place can be found.
    """
    account = server_account()
    as_root = os.geteuid() == 0
    if not directory.exists():
        directory.mkdir(parents=True, mode=0o711 if as_root else 0o700)
    data = directory / "data"
    if not as_root:
        if data.exists() and not os.access(data, os.R_OK | os.W_OK | os.X_OK):
            raise Unavailable(
                f"{data} belongs to another user",
                hint="it was made by root: run as root again, or choose another data folder with FLIPSYNC_HOME",
            )
        return Placement(data, programs.root / programs.bin, account)

    reachable = may_pass(directory, account)
    if data.is_symlink() or (not data.exists() and not reachable):
        data = _elsewhere(directory)
    elif not reachable:
        raise Unavailable(
            f"{data} cannot be reached by the account with uid {account.uid} that has to run the server",
            hint=f"a folder above it became private; `chmod o+x` it, or move {directory} and set FLIPSYNC_HOME",
        )
    if data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        account = Account(owner.st_uid, owner.st_gid)  # stay with whom it was made for
    root = programs.root if _all_readable(programs, account) else _copied(programs, directory)
    return Placement(data, root / programs.bin, account)


def _all_readable(programs: Programs, account: Account) -> bool:
    files = [programs.root / path for path in programs.files()]
    folders = {path.parent for path in files}
    return all(may_pass(folder, account) for folder in folders) and all(
        _allows(path, account, stat.S_IROTH) for path in files
    )


def passage_root(directory: Path) -> Path:
    """The root-owned folder for what `directory` cannot hold; throw-away data stays in the temporary folder.

    Raises Unavailable when somebody else made it.
    """
    temporary = Path(tempfile.gettempdir()).resolve()
    root = temporary / "flipsync-0" if directory.resolve().is_relative_to(temporary) else SYSTEM_ROOT
    root.mkdir(parents=True, exist_ok=True, mode=0o711)
    status = root.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        raise Unavailable(f"{root} is not a folder that only root can change", hint=f"remove {root}")
    return root


def _elsewhere(directory: Path) -> Path:
    link = directory / "data"
    if link.is_symlink():
        return link.resolve()
    root = passage_root(directory)
    if root != SYSTEM_ROOT:
        _drop_forgotten(root)
    name = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    home = root / name
    home.mkdir(mode=0o711, exist_ok=True)
    (home / "of").write_text(str(directory.resolve()))
    link.symlink_to(home / "data")
    return home / "data"


def moved(directory: Path) -> None:
    """A server's own folder was renamed to `directory`: data that lies elsewhere is told whose it is now."""
    link = directory / "data"
    if link.is_symlink():
        (link.resolve().parent / "of").write_text(str(directory.resolve()))


def _drop_forgotten(root: Path) -> None:
    """Temporary data whose data folder is gone (a test's) is gone too."""
    for origin in root.glob("*/of"):
        if not Path(origin.read_text()).exists():
            shutil.rmtree(origin.parent, ignore_errors=True)


def _left_out(path: Path) -> bool:
    """What only compilers read."""
    return path.suffix == ".a" or "include" in path.parts


def _copied(programs: Programs, directory: Path) -> Path:
    """A copy readable to everybody, named by what it holds, made once."""
    files = programs.files()
    contents = str([(str(path), (programs.root / path).stat().st_size) for path in files])
    target = passage_root(directory) / f"programs-{hashlib.sha256(contents.encode()).hexdigest()[:16]}"
    if not target.exists():
        fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new-"))
        for path in files:
            copy = fresh / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(programs.root / path, copy)
            copy.chmod(0o755 if (programs.root / path).stat().st_mode & stat.S_IXUSR else 0o644)
        for folder in [fresh, *(path for path in fresh.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)
        try:
            fresh.rename(target)
        except OSError:
            shutil.rmtree(fresh, ignore_errors=True)
            if not target.exists():  # else another process was quicker
                raise
    return target
