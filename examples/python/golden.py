#!/usr/bin/env python3
# Copyright The salvor authors.
# SPDX-License-Identifier: Apache-2.0
"""Holds this codec against the golden files: python3 golden.py docs/protocol

What an author of a store does first: read every object, refuse what is to be
refused, and replay the publications from one full state to the next.
"""

import pathlib
import sys

import state

KINDS = {"manifest": "manifest", "checkpoint": "checkpoint", "boundary": "boundary", "readers": "reader", "audit": "audit",
         "recovery": "sidecar", "tables": "json", "store": "store"}


def main(root):
    read = {}
    for path in sorted(p for p in (root / "root").rglob("*") if p.is_file()):
        key = path.relative_to(root / "root").as_posix()
        kind = "confirmed" if key.endswith(".confirmed") else KINDS[key.split("/")[0]]
        read[key] = (state.decode(kind, path.read_bytes()), path.read_bytes())
    for path in sorted((root / "refuse").iterdir()):
        try:
            state.decode("manifest", path.read_bytes())
        except (ValueError, state.Newer) as e:
            print(f"refused {path.name}: {e}")
        else:
            sys.exit(f"{path.name} was read")
    full = sorted(k for k in read if k.startswith("checkpoint/"))
    s, replayed = read[full[0]][0], 0
    while (key := f"manifest/{s['version'] + 1:020d}") in read:
        body, raw = read[key]
        s, replayed = state.apply(s, body, state.digest(raw)), replayed + 1
        want = read.get(f"checkpoint/{s['version']:020d}")
        if want and s != want[0]:
            sys.exit(f"after {key} the state is\n{s}\nthe full state says\n{want[0]}")
    print(f"{len(read)} objects read, {replayed} publications replayed, {len(full) - 1} full states compared")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
