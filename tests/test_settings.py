"""What is read from the environment."""

from __future__ import annotations

from flipsync.settings import installed_applications


def test_an_installations_applications_are_read_vendor_by_vendor() -> None:
    found = installed_applications(
        {
            "FLIPSYNC_EBAY_CLIENT_ID": "id",
            "FLIPSYNC_EBAY_CLIENT_SECRET": "secret",
            "FLIPSYNC_EBAY_REDIRECT_NAME": "runame",
            "FLIPSYNC_EBAY_CLIENT_SECRET_EXPIRES_AT": "",
            "FLIPSYNC_AMAZON_APPLICATION_ID": "amzn1.sp.solution.x",
            "FLIPSYNC_AMAZON_TOKEN_URL": "http://127.0.0.1:9/token",
            "FLIPSYNC_SHOPIFY_SOMETHING": "else",
            "FLIPSYNC_REDIS_URL": "redis://x",
        }
    )
    assert {
        vendor: {name: value.get_secret_value() for name, value in app.items()} for vendor, app in found.items()
    } == {
        "ebay": {"client_id": "id", "client_secret": "secret", "redirect_name": "runame"},
        "amazon": {"application_id": "amzn1.sp.solution.x", "token_url": "http://127.0.0.1:9/token"},
    }
    assert "secret" not in repr(found["ebay"]["client_secret"])
    assert installed_applications({}) == {}
