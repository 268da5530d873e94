# SPDX-License-Identifier: Apache-2.0
"""Reads TensorBoard's event files: by the format's description alone, and by the package tensorboard where there is one.

POLYPHASE_TENSORBOARD names a Python that has the package; without it, this one is asked.
"""
import json
import os
import struct
import subprocess
import sys

WITH_THE_PACKAGE = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
print(json.dumps([[tag, scalar.step, scalar.value] for tag in events.Tags()["scalars"] for scalar in events.Scalars(tag)]))
"""


def masked_crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    crc ^= 0xffffffff
    return ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7f) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """Of a protocol buffers message: (number, value)."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            form = {1: "<d", 5: "<f"}[kind]
            value, at = struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
        yield key >> 3, value
    assert at == len(data), "a message that ends inside a field"


def messages(data):
    """The records of the file, both checksums of each compared."""
    at = 0
    while at < len(data):
        size, crc = struct.unpack_from("<QI", data, at)
        assert crc == masked_crc32c(data[at:at + 8]), f"checksum of the length at byte {at}"
        message = data[at + 12:at + 12 + size]
        assert struct.unpack_from("<I", data, at + 12 + size)[0] == masked_crc32c(message), f"checksum at byte {at}"
        yield message
        at += size + 16


def scalars(path):
    """(tag, step, value) in the file's order."""
    first, *events = [dict(fields(message)) for message in messages(path.read_bytes())]
    assert first[3] == b"brain.Event:2", first
    found = []
    for event in events:
        assert event[1] > 1e9, "no time of day"
        for number, value in fields(event[5]):
            assert number == 1, "no Summary.Value"
            parts = dict(fields(value))
            found.append((parts[1].decode(), event[2], parts[2]))
    return found


def scalars_by_package(path):
    """The same, sorted; None, and said so, where no Python here has the package."""
    python = os.environ.get("POLYPHASE_TENSORBOARD", sys.executable)
    if subprocess.run([python, "-c", "import tensorboard"], stderr=subprocess.DEVNULL).returncode != 0:
        print(f"SKIPPED: {python} has no package tensorboard; set POLYPHASE_TENSORBOARD to a Python that has it",
              file=sys.stderr)
        return None
    said = subprocess.run([python, "-c", WITH_THE_PACKAGE, path], stdout=subprocess.PIPE, check=True)
    return sorted(map(tuple, json.loads(said.stdout)))


def scalars_of_metrics(records):
    """What the file is to hold of metrics.jsonl, as float32."""
    def of(value, tag):
        if isinstance(value, dict):
            return [scalar for name, inner in value.items() for scalar in of(inner, f"{tag}/{name}")]
        if isinstance(value, str):
            return [(tag, float(value))] if value in ("nan", "inf", "-inf") else []
        return [(tag, struct.unpack("<f", struct.pack("<f", value))[0])]

    found = []
    for record in records:
        if record["kind"] == "step":
            values = of({k: v for k, v in record.items() if k not in ("kind", "step")}, "train")
        elif record["kind"] == "evaluation":
            values = of(record["metrics"], record["split"])
        else:
            continue
        found += [(tag, record["step"], value) for tag, value in values]
    return sorted(found)
