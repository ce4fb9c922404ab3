from flipsync.embedded.haproxy_loopback import hold_to_loopback

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
