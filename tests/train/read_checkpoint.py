"""Prints a safetensors file as its format says, with nothing but Python's standard library.

A line for each entry of the metadata, then one for each tensor: name, type, shape, values.
"""

import json
import struct
import sys

with open(sys.argv[1], "rb") as file:
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    data = file.read()
for key, text in sorted(header.pop("__metadata__").items()):
    print(key, text)
for name, tensor in header.items():
    begin, end = tensor["data_offsets"]
    values = struct.unpack("<%d%s" % ((end - begin) // 4, {"F32": "f"}[tensor["dtype"]]), data[begin:end])
    print(name, tensor["dtype"], tensor["shape"], " ".join("%.9g" % value for value in values))
