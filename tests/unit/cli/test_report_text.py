"""``app.bugreport()``: what ``skirret report`` prints, as text."""

from __future__ import annotations

from skirret import Skirret, __version__


def test_a_bug_report_tells_versions_and_addresses_without_secrets():
    app = Skirret("shop", broker="memory://bugreport", redis_password="hush", set_as_current=False)
    text = app.bugreport()
    assert f"  skirret: {__version__}\n" in text
    assert "  url: memory://bugreport\n" in text
    assert "  name: shop\n" in text
    assert "redis_password" in text
    assert "hush" not in text
