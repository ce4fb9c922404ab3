"""OAuth 1.0a against the examples printed in RFC 5849."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from urllib.parse import quote

from flipsync.connectors.marketplaces.woocommerce.oauth import base_string, signature, signed_params


def test_base_string_of_section_3_4_1_1() -> None:
    params = [
        ("b5", "=%3D"),
        ("a3", "a"),
        ("c@", ""),
        ("a2", "r b"),
        ("oauth_consumer_key", "9djdj82h48djs9d2"),
        ("oauth_token", "kkk9d7dh3k39sjv7"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "137131201"),
        ("oauth_nonce", "7d8f3e4a"),
        ("c2", ""),
        ("a3", "2 q"),
    ]
    assert base_string("post", "http://EXAMPLE.COM:80/request", params) == (
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D"
        "%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1"
        "%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
    )


def test_signature_of_section_1_2() -> None:
    params = [
        ("file", "vacation.jpg"),
        ("size", "original"),
        ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
        ("oauth_token", "nnch734d00sl2jdk"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "137131202"),
        ("oauth_nonce", "chapoH"),
    ]
    base = base_string("GET", "http://photos.example.net/photos", params)
    assert signature(base, "kd94hf93k423kf44", "pfkkdhi9sl3r4s00", "sha1") == "MdpQcU8iPSUjWoN/UDMsK2sui9I="


def test_odd_ports_and_ipv6_stay_in_the_address() -> None:
    assert base_string("GET", "http://shop.test:8080/a b", []).startswith("GET&http%3A%2F%2Fshop.test%3A8080%2Fa%20b&")
    assert base_string("GET", "http://[::1]:8080/x", []) == "GET&http%3A%2F%2F%5B%3A%3A1%5D%3A8080%2Fx&"


def test_every_request_is_signed_anew_with_sha256() -> None:
    first = dict(signed_params("GET", "http://shop.test/x", [("q", "a b")], "ck", "cs&/"))
    second = dict(signed_params("GET", "http://shop.test/x", [("q", "a b")], "ck", "cs&/"))
    assert first["oauth_nonce"] != second["oauth_nonce"]
    assert first["oauth_signature"] != second["oauth_signature"]
    given = first.pop("oauth_signature")
    base = base_string("GET", "http://shop.test/x", [("q", "a b"), *first.items()])
    key = quote("cs&/", safe="") + "&"
    assert given == b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha256).digest()).decode()
