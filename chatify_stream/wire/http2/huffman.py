"""Strings in HPACK's Huffman code, read by zlib.

hpack takes a step of Python for each half of a byte: milliseconds for a header block of the size
that is let in, in which nobody else is served. zlib's inflate is C and part of Python, and reads
any canonical Huffman code that a DEFLATE block (RFC 1951, section 3.2.7) begins with, so here one
begins with HPACK's (RFC 7541, appendix B). Three things are different:

- DEFLATE takes the bits of a byte from the other end.
- Its codes have 15 bits at most. HPACK's longer ones, of `\\` and of what is not printable ASCII,
  all begin with 15 ones, and that is the code of the end of the block here. Padding is ones too:
  with a byte of them behind it, a string may end the block there. One that ends it earlier has a
  longer code in it, or is wrong; hpack reads those.
- What follows the string must not have become part of its last character, so the bits of all
  characters are counted: the lengths of their codes are the digits of a number to base 256, and
  that is, modulo 255, as much as their sum.

tests/wire/http2/test_huffman.py compares with hpack.
"""

from __future__ import annotations

import zlib

from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman

__all__ = ["decode"]

LONGEST = 15
END = b"\xff"

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_LENGTHS = bytes(REQUEST_CODES_LENGTH[:256])


def _beginning() -> bytes:
    """Of a last block with these codes, filled up to a whole byte with a character."""
    fields = [(1, 1), (2, 2)]  # the last block, of dynamic codes
    fields += [(0, 5), (0, 5), (15, 4)]  # 257 lengths for characters, one for distances, 19 for:
    fields += [(0, 3)] * 3 + [(4, 3)] * 16  # lengths themselves, of which each has 4 bits
    bits = "".join(f"{value:0{width}b}"[::-1] for value, width in fields)
    lengths = [length if length <= LONGEST else 0 for length in _LENGTHS]
    bits += "".join(f"{length:04b}" for length in (*lengths, LONGEST, 0))
    filling = _LENGTHS.index(-len(bits) % 8)
    bits += f"{REQUEST_CODES[filling]:0{_LENGTHS[filling]}b}"
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


_begun = zlib.decompressobj(wbits=-9)
_begun.decompress(_beginning())


def decode(data: bytes) -> bytes:
    """The string in Huffman code. Raises hpack's `HPACKDecodingError` for what is none."""
    block = _begun.copy()
    text = block.decompress(data.translate(_REVERSED) + END)
    padding = (8 * len(data) - int.from_bytes(text.translate(_LENGTHS), "big")) % 255
    if padding > 7 or block.unused_data:
        return decode_huffman(data)
    return text
