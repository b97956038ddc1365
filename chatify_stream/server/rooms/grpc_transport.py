"""Room sessions over gRPC."""

from __future__ import annotations

from ...codec import frame_presence, frame_publication, frame_refusal
from ...rooms import Encoding, Publication

__all__ = ["FRAMED_REPLIES"]


class _FramedReplies:
    """Encodes each event as a ChatRsp behind its gRPC message prefix."""

    presence = staticmethod(frame_presence)
    refusal = staticmethod(frame_refusal)

    @staticmethod
    def publication(publication: Publication, /) -> bytes:
        return frame_publication(*publication)


FRAMED_REPLIES: Encoding = _FramedReplies()
"""The encoding that all gRPC clients share."""
