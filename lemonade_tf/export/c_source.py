"""A network as C source: the content of a LiteRT file as an array, for microcontrollers.

NAME.c defines the array and the names of the classes, NAME.h declares them. The array is aligned to
16 bytes, as LiteRT Micro requires.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_PER_LINE = 12
_ARRAY = re.compile(r"_model\[\] = \{(.*?)\};", re.DOTALL)


def c_sources(
    content: bytes, name: str, class_names: Sequence[str], description: str
) -> tuple[str, str]:
    """Return the texts of NAME.h and NAME.c.

    Args:
        content: The content of a LiteRT file.
        name: A name, of which a C identifier is made.
        class_names: The names of the classes, in the order of the outputs; may be empty.
        description: What the network takes and returns, in lines.
    """
    symbol, guard = c_identifier(name), f"{c_identifier(name).upper()}_H"
    comment = "\n".join(
        f" * {line}".rstrip() for line in description.replace("*/", "* /").splitlines()
    )
    labels = f"extern const char *const {symbol}_labels[{len(class_names)}];\n"
    header = (
        f"/*\n{comment}\n */\n#ifndef {guard}\n#define {guard}\n\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        f"extern const unsigned char {symbol}_model[];\n"
        f"extern const unsigned int {symbol}_model_len;\n{labels if class_names else ''}\n"
        "#ifdef __cplusplus\n}\n#endif\n\n#endif\n"
    )
    rows = (content[i : i + _PER_LINE] for i in range(0, len(content), _PER_LINE))
    array = ",\n".join("  " + ", ".join(f"0x{byte:02x}" for byte in row) for row in rows)
    names = ", ".join(_literal(each) for each in class_names)
    table = f"const char *const {symbol}_labels[{len(class_names)}] = {{{names}}};\n"
    source = (
        f'#include "{name}.h"\n\n__attribute__((aligned(16)))\n'
        f"const unsigned char {symbol}_model[] = {{\n{array}\n}};\n"
        f"const unsigned int {symbol}_model_len = {len(content)};\n"
        f"{table if class_names else ''}"
    )
    return header, source


def c_identifier(name: str) -> str:
    """Return a C identifier for the name of a network, such as "network_12_7" for "12-7"."""
    plain = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_").lower()
    return plain if plain[:1].isalpha() else f"network_{plain}"


def array_bytes(source: str) -> bytes:
    """Return the bytes of the array in the text of NAME.c."""
    found = _ARRAY.search(source)
    if found is None:
        raise ValueError("the C source has no array of a model.")
    return bytes(int(byte, 16) for byte in found[1].replace(",", " ").split())


def _literal(text: str) -> str:
    """Return a C string literal; other than ASCII as octal escapes of UTF-8."""
    plain = {0x22: '\\"', 0x5C: "\\\\"}
    return (
        '"'
        + "".join(
            plain.get(byte, chr(byte)) if 0x20 <= byte < 0x7F and byte != 0x3F else f"\\{byte:03o}"
            for byte in text.encode()
        )
        + '"'
    )
