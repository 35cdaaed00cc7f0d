"""Byte-level tokens: text that is written as letters for bytes. Radford et al., 2019 (GPT-2), section 2.2."""

from __future__ import annotations

PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))  # these stand for themselves
OTHERS = (byte for byte in range(256) if byte not in PRINTABLE)
BYTES = {**{chr(byte): byte for byte in PRINTABLE}, **{chr(256 + place): byte for place, byte in enumerate(OTHERS)}}


def byte_text(token: str) -> str:
    """Text of a byte-level token; bytes that are no whole character are in hexadecimal.

    Example:
        >>> byte_text("Ġâł"), byte_text("ĠcafÃ©")
        (' <0xE2><0xA0>', ' café')
    """
    if not BYTES.keys() >= set(token):
        return token
    text = bytes(BYTES[letter] for letter in token).decode(errors="surrogateescape")
    return "".join(f"<0x{ord(c) - 0xDC00:02X}>" if "\udc80" <= c <= "\udcff" else c for c in text)
