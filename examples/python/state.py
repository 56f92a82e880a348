# Copyright The salvor authors.
# SPDX-License-Identifier: Apache-2.0
"""The envelope, and the one reading of a publication: docs/protocol.md, sections 2 and 3."""

import copy
import hashlib
import json

KNOWS = 1  # the newest format that this program reads and writes


class Refused(Exception):
    """The state does not admit an entry. word: decided, fenced, locked, moved."""

    def __init__(self, word, detail):
        super().__init__(f"{word}: {detail}")
        self.word, self.detail = word, detail


class Newer(Exception):
    """An object is in a format that this program does not know."""


def digest(raw):
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def encode(kind, body, fmt=1):
    raw = json.dumps(body, separators=(",", ":")).encode() + b"\n"
    return f"salvor {kind} {fmt} {digest(raw)}\n".encode() + raw


def decode(kind, raw):
    """The body, after kind, format and digest were checked, in this order."""
    head, _, body = raw.partition(b"\n")
    words = head.decode("ascii", "replace").split(" ")
    if len(words) != 4 or words[0] != "salvor" or words[1] != kind:
        raise ValueError(f"no {kind} object: {head[:128]!r}")
    if int(words[2]) > KNOWS:
        raise Newer(f"{kind} object has format {words[2]}, this program knows up to {KNOWS}: upgrade it")
    if digest(body) != words[3]:
        raise ValueError(f"{kind} object is damaged: {words[3]}, its body has {digest(body)}")
    return json.loads(body)


def new(uid, claimant=None):
    s = {"store": uid, "version": 0, "tables": {}, "writers": {}, "outcomes": []}
    if claimant:
        s["claimant"] = claimant
    return s


def outcome(s, op):
    return next((o for o in s["outcomes"] if o["operation"] == op), None)


def ref(s, table):
    """Number and operation that the state names; {} when there is no such table."""
    pin = s["tables"].get(table)
    return {"number": pin["number"], "operation": pin["operation"]} if pin else {}


def check(s, e):
    """Raises Refused unless a writer may publish e: identity, epoch, lock, pins."""
    if e["kind"] == "register":
        if e["epoch"]["number"] != s["writers"].get(e["writer"], {}).get("number", 0) + 1:
            raise Refused("fenced", "somebody else registered")
        return
    o = outcome(s, e["operation"])
    if o:
        raise Refused("decided", o)
    if s["writers"].get(e["writer"]) != e["epoch"]:
        raise Refused("fenced", f"the manifest has {s['writers'].get(e['writer'])}")
    if e["kind"] == "abandon":
        return
    lock = s.get("lock")
    if lock and not (lock["mode"] == "Draining" and e["base"] < lock["version"]):
        raise Refused("locked", f"by {lock['owner']} until {lock['until']}")
    for c in e["tables"]:
        if ref(s, c["table"]) != c.get("expected", {}):
            raise Refused("moved", f"table {c['table']}: {ref(s, c['table'])}, not {c.get('expected')}")


def apply(s, b, dig):
    """The state after publication b, whose object has this digest."""
    if b["store"] != s["store"] or b["number"] != s["version"] + 1 or b.get("parent", "") != s.get("digest", ""):
        raise ValueError(f"publication {b['number']} does not follow {s['version']} of this store")
    s = copy.deepcopy(s)
    s["version"], s["digest"] = b["number"], dig
    if b.get("head", {}).get("number", 0) > s.get("head", {}).get("number", 0):
        s["head"] = b["head"]
    for e in b["entries"]:
        _entry(s, e, b)
    return s


def _entry(s, e, b):
    kind, w = e["kind"], e.get("writer")
    if kind == "register":
        s["writers"][w] = e["epoch"]
    elif kind == "fence" and s["writers"].get(w) == e["epoch"]:
        s["writers"][w] = {"number": e["epoch"]["number"] + 1}
    elif kind in ("publish", "abandon") and not outcome(s, e["operation"]):
        s["outcomes"].append({"operation": e["operation"], "kind": kind, "version": b["number"], "by": b["by"]})
        for c in e.get("tables", []) if kind == "publish" else []:
            if "to" in c:
                s["tables"][c["table"]] = c["to"]
            else:
                s["tables"].pop(c["table"], None)
    elif kind == "claim":
        s.setdefault("claimant", e["claimant"])
    elif kind == "adopt":
        s["generation"], s["claimant"] = s.get("generation", 0) + 1, e["claimant"]
        s["writers"] = {w: {"number": ep["number"] + 1} for w, ep in s["writers"].items()}
        _unlock(s, kind, b)
    elif kind in ("lock", "extend", "release", "expire"):
        _lock(s, e, b)
    elif kind == "announce":
        s["announced"] = max(s.get("announced", 0), e["lowWater"])
    elif kind == "trim":
        low = min(e["lowWater"], s.get("announced", 0))
        if low > s.get("lowWater", 0):
            s["lowWater"] = low
            s["outcomes"] = [o for o in s["outcomes"] if o["version"] > low]
    elif kind == "format" and e["format"] > s.get("format", 1):
        s["format"] = e["format"]


def _lock(s, e, b):
    """An entry that the state would not have admitted changes nothing."""
    held, want = s.get("lock"), e.get("lock", {})
    own = held and held["owner"] == (e.get("lockOwner") if e["kind"] == "expire" else want.get("owner"))
    if e["kind"] == "lock" and not held:
        s["lock"] = dict(want, version=b["number"])
    elif e["kind"] == "lock" and own and want["mode"] == "Frozen":
        held["mode"] = "Frozen"
    elif e["kind"] == "extend" and own and want["until"] > held["until"]:
        held["until"] = want["until"]
    elif e["kind"] == "release" and own or e["kind"] == "expire" and own and e["date"] >= held["until"]:
        _unlock(s, e["kind"], b)


def _unlock(s, how, b):
    if s.get("lock"):
        s["endedLock"] = {"owner": s.pop("lock")["owner"], "how": how, "version": b["number"]}
