"""Why TLS has failed, in words that say what to do about it."""

from __future__ import annotations

import ssl

__all__ = ["tls_reason"]

_REASONS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "HTTP_REQUEST": "it does not speak TLS",
    "RECORD_LAYER_FAILURE": "it does not speak TLS",
    "PACKET_LENGTH_TOO_LONG": "it does not speak TLS",
    "UNEXPECTED_EOF_WHILE_READING": "it closed the connection during the handshake",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it has shown no certificate, which has to be",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the authority of this side's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not take this side's certificate",
    "TLSV1_ALERT_BAD_CERTIFICATE": "it does not take this side's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not take this side's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "this side's certificate has expired",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "this side's certificate is for other purposes",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "it does not speak HTTP/2",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks other versions of TLS",
    "UNSUPPORTED_PROTOCOL": "it speaks other versions of TLS",
    "NO_SHARED_CIPHER": "no cipher is known to both sides",
}
"""By OpenSSL's name of the reason. An alert is what the other side says."""

MISMATCHES = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


def tls_reason(error: ssl.SSLError) -> str:
    """`it` is the other side."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message.rstrip(".")
        if error.verify_code in MISMATCHES:
            return f"its certificate is for another name: {said}"
        return f"its certificate is not believed: {said}"
    name = getattr(error, "reason", None)  # which those of asyncio have not
    return _REASONS.get(name or "", str(error))
