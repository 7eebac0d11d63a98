"""Keys and certificates of signed messages."""

from __future__ import annotations

from skirret.settings import kinds
from skirret.settings.option import Section, option


class SecuritySettings(Section):
    """Keys and certificates of signed messages."""

    security_key: str | None = option(
        None, "File with the private key that signs messages.", kind=kinds.path, old="CELERY_SECURITY_KEY"
    )
    security_key_password: str | bytes | None = option(
        None, "Password of that private key.", kind=kinds.secret, old="CELERY_SECURITY_KEY_PASSWORD"
    )
    security_certificate: str | None = option(
        None,
        "File with the certificate that belongs to the private key.",
        kind=kinds.path,
        old="CELERY_SECURITY_CERTIFICATE",
    )
    security_cert_store: str | None = option(
        None,
        "Certificates, by file pattern, of those whose messages are trusted.",
        kind=kinds.path,
        old="CELERY_SECURITY_CERT_STORE",
    )
    security_digest: str = option("sha256", "Digest that signatures are made over.", old="CELERY_SECURITY_DIGEST")
