"""Become another user, bind our life to the parent's, and exec a program.

Run as a script (`python -IS exec_bound.py UID GID SIGNAL PARENT_PID PROGRAM ARG...`) instead of a `preexec_fn`, which
may deadlock when the parent has threads. The order matters: changing user clears the parent-death signal.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    uid, gid, death_signal, parent = (int(value) for value in argv[1:5])
    if os.geteuid() != uid:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(125)  # the parent died before the signal was armed
    os.execv(argv[5], argv[5:])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv)
