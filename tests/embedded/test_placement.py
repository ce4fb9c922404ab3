import os
import shutil
import tempfile
from pathlib import Path

import pytest

from flipsync.domain.errors import Unavailable
from flipsync.embedded.placement import Programs, may_pass, passage_root, place, server_account
from flipsync.embedded.process import Account

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers have to run as somebody else")


@pytest.fixture
def programs(home: Path) -> Path:
    tree = home / "tree"
    (tree / "bin").mkdir(parents=True)
    tree.chmod(0o755)
    (tree / "bin").chmod(0o755)
    (tree / "bin" / "server").write_text("#!/bin/sh\n")
    (tree / "bin" / "server").chmod(0o755)
    return tree


def placed(directory: Path, tree: Path):
    return place(directory, Programs(tree, ("bin",), "bin"))


def test_passing_needs_every_folder_above(home: Path):
    inner = home / "a" / "b"
    inner.mkdir(parents=True)
    for folder in (home, home / "a", inner):
        folder.chmod(0o711)
    stranger = Account(54321, 54321)
    assert may_pass(inner, stranger)
    (home / "a").chmod(0o700)
    assert not may_pass(inner, stranger)
    assert may_pass(inner, Account(os.geteuid(), os.getegid()))


def test_files_stay_in_the_data_folder_when_they_can_be_reached(home: Path, programs: Path):
    where = placed(home / "part", programs)
    assert where.data == home / "part" / "data"
    assert where.programs == programs / "bin"
    assert where.account == server_account()


@as_root
def test_roots_servers_do_not_run_as_root():
    assert server_account().uid != 0


@as_root
def test_a_closed_data_folder_is_served_from_a_passage_and_stays_closed(home: Path, programs: Path):
    home.chmod(0o700)
    where = placed(home / "part", programs)
    try:
        assert home.stat().st_mode & 0o777 == 0o700, "no parent was opened"
        assert where.data.parent.parent == passage_root(home)
        assert may_pass(where.data.parent, where.account)
        assert (home / "part" / "data").readlink() == where.data
        assert where.programs != programs / "bin" and may_pass(where.programs, where.account)
        assert (where.programs / "server").read_text() == "#!/bin/sh\n"
        assert passage_root(home).stat().st_mode & 0o066 == 0, "it can be passed through, not listed"
        assert placed(home / "part", programs) == where, "the same place every time"
    finally:
        shutil.rmtree(where.data.parent)
        shutil.rmtree(where.programs.parent)


@as_root
def test_data_that_became_unreachable_is_refused_with_a_hint(home: Path, programs: Path):
    where = placed(home / "part", programs)
    where.data.mkdir()
    os.chown(where.data, where.account.uid, where.account.gid)
    home.chmod(0o700)
    with pytest.raises(Unavailable, match="cannot be reached") as refused:
        placed(home / "part", programs)
    assert "chmod o+x" in refused.value.hint


@as_root
def test_a_passage_somebody_else_made_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch):
    trap = home / "flipsync-0"
    trap.mkdir()
    os.chown(trap, 54321, 54321)
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    with pytest.raises(Unavailable, match="only root can change"):
        passage_root(home / "inside")


@as_root
def test_forgotten_temporary_data_is_dropped(home: Path, programs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    one, two = home / "one", home / "two"
    for folder in (one, two):
        folder.mkdir(mode=0o700)
    first = placed(one / "part", programs).data.parent
    shutil.rmtree(one)
    assert placed(two / "part", programs).data.parent.exists()
    assert not first.exists()
