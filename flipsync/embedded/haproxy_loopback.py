"""Start HAProxy for Ray Serve with its statistics and metrics held to loopback, and its life bound to the parent's.

Ray Serve 2.60 writes `bind *:8404` (statistics) and `bind :9101` (metrics) into the configuration whatever the HTTP
host is, opens the admin socket to every user, and leaves HAProxy running when its actor is killed. It also has HAProxy
say 500 where a replica died over a request, or none is there: what may well be sent again looks like a fault of ours.
Here 502, 503 and 504 are told as what they are, as a problem document.

Serve starts HAProxy through RAY_SERVE_HAPROXY_BINARY_PATH; run as a script (`python -IS haproxy_loopback.py HAPROXY
ARG...`) this mends the configuration file it is given, then becomes HAProxy.
"""

import ctypes
import json
import os
import re
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
_PRIVATE_SECTIONS = ("frontend prometheus", "listen stats")
_CLIENT_ADDRESS = "    option forwardfor"
#: Serve's default: a line a request to the syslog port of this machine, where usually nobody listens
_LOG_OF_REQUESTS = ["log", "127.0.0.1:514", "local0", "info"]
_ERROR_PAGE = re.compile(r"^(\s*errorfile\s+(502|503|504)\s+).*$")
#: as serve.errors.Problem, by status: of 503 nothing has begun, of the others nobody knows
_UNKNOWN = "what worked on this ended before it had answered: it may or may not be done"
_PROBLEMS = {
    502: ("Bad Gateway", _UNKNOWN),
    503: ("Service Unavailable", "nobody is there to answer just now"),
    504: ("Gateway Timeout", "no answer came in time: it may or may not be done"),
}
_ANY_ADDRESS = re.compile(r"^(\s*bind\s+)(?:\*|0\.0\.0\.0|\[?::\]?)?:(\d+)")


def hold_to_loopback(configuration: str) -> str:
    """The same configuration with statistics, metrics and the admin socket kept to this machine and this user.

    Of the log, what happens to servers is left: requests are logged by the API. Each client's address is passed on, as
    the last X-Forwarded-For.
    """
    section = ""
    lines = []
    for line in configuration.split("\n"):
        if line and not line[0].isspace() and not line.startswith("#"):
            section = line.strip()
        if section in _PRIVATE_SECTIONS:
            line = _ANY_ADDRESS.sub(r"\g<1>127.0.0.1:\2", line)
        elif section == "global" and line.strip().startswith("stats socket"):
            line = line.replace("mode 666", "mode 600")
        elif section == "global" and line.split() == _LOG_OF_REQUESTS:
            line = line.replace("info", "notice")
        lines.append(line)
        if line == "defaults" and _CLIENT_ADDRESS not in configuration:
            lines.append(_CLIENT_ADDRESS)  # else the API sees only HAProxy, and cannot tell who tries passwords
    return "\n".join(lines)


def own_error_pages(configuration: str, folder: Path) -> str:
    """The same configuration with HAProxy's own errors told by the files of `error_page` in this folder."""
    return "\n".join(
        _ERROR_PAGE.sub(lambda found: f"{found[1]}{folder / found[2]}.http", line) for line in configuration.split("\n")
    )


def error_page(status: int) -> bytes:
    """A whole answer, as HAProxy wants it (`errorfile`)."""
    title, detail = _PROBLEMS[status]
    body = json.dumps(
        {
            "type": "urn:flipsync:error:unavailable",
            "title": title,
            "status": status,
            "detail": detail,
            "hint": "send it again, with the same Idempotency-Key",
            "request_id": "",
            "errors": [],
            "vendor_code": "",
        }
    )
    head = (
        f"HTTP/1.1 {status} {title}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Retry-After: 1",
    )
    return "\r\n".join([*head, "", body]).encode()


def main(argv: list[str]) -> None:
    program, arguments = argv[1], argv[2:]
    if "-f" in arguments:
        path = Path(arguments[arguments.index("-f") + 1])
        text = path.read_text()
        for status in _PROBLEMS:
            path.with_name(f"{status}.http").write_bytes(error_page(status))
        if (mended := own_error_pages(hold_to_loopback(text), path.parent)) != text:
            fresh = path.with_name(f"{path.name}.{os.getpid()}")
            fresh.write_text(mended)
            fresh.replace(path)
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(125)
    os.execv(program, [program, *arguments])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv)
