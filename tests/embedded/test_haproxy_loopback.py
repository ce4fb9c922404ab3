import json
from pathlib import Path

from flipsync.embedded.haproxy_loopback import error_page, hold_to_loopback, own_error_pages
from serve.errors import MEDIA_TYPE, Problem

WRITTEN_BY_SERVE = """\
global
    log 127.0.0.1:514 local0 info
    stats socket /run/admin.sock mode 666 level admin expose-fd listeners
defaults
    mode http
frontend prometheus
    bind :9101
    mode http
frontend http_frontend
    bind *:8000
# a comment at the left edge
backend default_backend
    bind *:1
listen stats
  bind *:8404
  stats enable
"""


def test_statistics_metrics_and_admin_socket_are_closed_the_api_is_as_asked_and_told_who_calls():
    assert hold_to_loopback(WRITTEN_BY_SERVE) == (
        WRITTEN_BY_SERVE.replace("bind :9101", "bind 127.0.0.1:9101")
        .replace("bind *:8404", "bind 127.0.0.1:8404")
        .replace("mode 666", "mode 600")
        .replace("defaults\n", "defaults\n    option forwardfor\n")
        .replace("local0 info", "local0 notice")
    )
    elsewhere = WRITTEN_BY_SERVE.replace("127.0.0.1:514", "10.0.0.5:514")  # the operator's choice, in full
    assert "log 10.0.0.5:514 local0 info" in hold_to_loopback(elsewhere)


def test_it_changes_nothing_twice():
    once = hold_to_loopback(WRITTEN_BY_SERVE)
    assert hold_to_loopback(once) == once


def test_the_template_of_the_installed_serve_is_the_one_we_mend():
    from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

    mended = hold_to_loopback(
        HAPROXY_CONFIG_TEMPLATE.replace("{{ config.metrics_port }}", "9101")
        .replace("{{ config.stats_port }}", "8404")
        .replace("{{ config.log_target }}", "127.0.0.1:514")
    )
    assert "log 127.0.0.1:514 local0 notice" in mended
    assert "bind 127.0.0.1:9101" in mended and "bind 127.0.0.1:8404" in mended and "mode 666" not in mended
    assert mended.count("option forwardfor") == 1
    pages = own_error_pages(HAPROXY_CONFIG_TEMPLATE, Path("/x"))
    assert [f"errorfile {status} /x/{status}.http" in pages for status in (502, 503, 504)] == [True] * 3


def test_errors_of_its_own_are_told_as_what_they_are():
    written = "defaults\n    errorfile 502 /x/500.http\n    errorfile 503 /x/500.http\n    errorfile 504 /x/500.http\n"
    mended = own_error_pages(written, Path("/x"))
    assert mended == written.replace("502 /x/500", "502 /x/502").replace("503 /x/500", "503 /x/503").replace(
        "504 /x/500", "504 /x/504"
    )
    assert own_error_pages(mended, Path("/x")) == mended
    for status in (502, 503, 504):
        head, _, body = error_page(status).decode().partition("\r\n\r\n")
        line, *headers = head.split("\r\n")
        assert line.startswith(f"HTTP/1.1 {status} ")
        told = dict(each.split(": ") for each in headers)
        assert (told["Content-Type"], int(told["Content-Length"])) == (MEDIA_TYPE, len(body))
        assert json.loads(body) == Problem(**json.loads(body)).model_dump() and json.loads(body)["status"] == status
