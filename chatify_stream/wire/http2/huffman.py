"""Decode HPACK's Huffman code with zlib.

hpack decodes half a byte per step of Python. That takes milliseconds for the largest header block
allowed, during which the event loop serves nothing else. zlib's inflate is written in C and decodes
any canonical Huffman code declared at the start of a DEFLATE block (RFC 1951, 3.2.7), so this
module feeds it a block that declares HPACK's code (RFC 7541, appendix B). Three differences matter:

- DEFLATE reads the bits of a byte in reverse order.
- DEFLATE codes have at most 15 bits. HPACK's longer codes, for `\\` and for bytes that are not
  printable ASCII, all start with 15 ones. Here 15 ones are the code for the end of the block.
  HPACK pads with ones, so with an extra byte of ones every valid string ends with this code. A
  string that contains it earlier has a longer code or is invalid, and is decoded by hpack.
- The last character must not include bits of the padding, so the bits of all characters are
  counted. The lengths of their codes, read as a number to base 256, equal their sum modulo 255.

tests/wire/http2/test_huffman.py compares with hpack.
"""

from __future__ import annotations

import zlib

from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman

MAX_CODE_BITS = 15
PADDING = b"\xff"

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_LENGTHS = bytes(REQUEST_CODES_LENGTH[:256])


def _block_start() -> bytes:
    """Return the start of a DEFLATE block with HPACK's code, up to a byte boundary."""
    fields = [(1, 1), (2, 2)]  # the final block, with dynamic codes
    fields += [(0, 5), (0, 5), (15, 4)]  # 257 literal lengths, 1 distance length, 19 of lengths
    fields += [(0, 3)] * 3 + [(4, 3)] * 16  # each length is encoded in 4 bits
    bits = "".join(f"{value:0{width}b}"[::-1] for value, width in fields)
    lengths = [length if length <= MAX_CODE_BITS else 0 for length in _LENGTHS]
    bits += "".join(f"{length:04b}" for length in (*lengths, MAX_CODE_BITS, 0))
    filler = _LENGTHS.index(-len(bits) % 8)  # a character that completes the last byte
    bits += f"{REQUEST_CODES[filler]:0{_LENGTHS[filler]}b}"
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


_started = zlib.decompressobj(wbits=-9)
_started.decompress(_block_start())
"""A decompressor after the start of the block. Each string is decoded with a copy of it."""


def decode(data: bytes) -> bytes:
    """Return the decoded string. Raises hpack's `HPACKDecodingError` if it is invalid."""
    block = _started.copy()
    text = block.decompress(data.translate(_REVERSED) + PADDING)
    padding = (8 * len(data) - int.from_bytes(text.translate(_LENGTHS), "big")) % 255
    if padding > 7 or block.unused_data:
        return decode_huffman(data)
    return text
