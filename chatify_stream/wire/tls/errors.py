"""Plain English reasons for OpenSSL's TLS errors."""

from __future__ import annotations

import ssl

__all__ = ["tls_reason"]

_NOT_TLS = "the peer does not use TLS"
_REJECTED = "the peer rejected the certificate that it was sent"
_NO_COMMON_VERSION = "the peer supports none of the enabled TLS versions"

_REASONS = {
    "WRONG_VERSION_NUMBER": _NOT_TLS,
    "HTTP_REQUEST": _NOT_TLS,
    "RECORD_LAYER_FAILURE": _NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": _NOT_TLS,
    "UNEXPECTED_EOF_WHILE_READING": "the peer closed the connection during the handshake",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client sent no certificate; one is required",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server requires a client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not trust the CA of the certificate that it was sent",
    "SSLV3_ALERT_BAD_CERTIFICATE": _REJECTED,
    "TLSV1_ALERT_BAD_CERTIFICATE": _REJECTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _REJECTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"{_REJECTED}: it has expired",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": f"{_REJECTED}: it is not valid for this purpose",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "the peer does not support HTTP/2",
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_COMMON_VERSION,
    "UNSUPPORTED_PROTOCOL": _NO_COMMON_VERSION,
    "NO_SHARED_CIPHER": "the peer supports none of the enabled ciphers",
}
"""By the name that OpenSSL gives the reason. Names with ALERT report an alert from the peer."""

_MISMATCHES = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


def tls_reason(error: ssl.SSLError) -> str:
    """Return why TLS failed. Text of OpenSSL is used for errors that are not listed here."""
    if isinstance(error, ssl.SSLCertVerificationError):
        detail = error.verify_message.rstrip(".")
        if error.verify_code in _MISMATCHES:
            return f"the peer's certificate is for another name: {detail}"
        return f"the peer's certificate is not trusted: {detail}"
    name = getattr(error, "reason", None)  # errors that asyncio raises have no reason
    return _REASONS.get(name or "", str(error))
