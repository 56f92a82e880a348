#!/usr/bin/env python3
# Copyright The salvor authors.
# SPDX-License-Identifier: Apache-2.0
"""The smallest store that salvor heals: one JSON value a table, no log of its own.

It is what docs/protocol.md says, step by step, and speaks the lines of its section 9:

    salvor conformance --writer 'python3 examples/python/writer.py'
"""

import datetime
import json
import os
import secrets
import sys
import time

import s3
import state
from state import Refused

CHECKPOINT_EVERY = 64
SURE = 30 * 60  # nothing younger than an hour is collected


def new_id():
    """Unique, and in the order of time: 26 characters."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(7)}"


def number(n):
    return f"{n:020d}"


class Failed(Exception):
    """Decided: it will never be visible."""


class Writer:
    def __init__(self, bucket, writer):
        self.b, self.id, self.process = bucket, writer, new_id()
        self.epoch = None
        self.uid = self._identity()
        self.st, self.sure = None, 0.0
        self.register()

    def _identity(self):
        raw = self.b.get("store")
        if raw is None:
            self.b.settle("store", state.encode("store", {"uid": new_id()}))
            raw = self.b.get("store")  # whoever was first
        body = state.decode("store", raw)
        self.claimant = body.get("claimant")
        return body["uid"]

    # Reading.

    def latest(self):
        """The newest state: the next number is asked for until it is absent."""
        while True:
            if self.st is None:
                self._cold()
            first, began, st = self.st["version"] + 1, time.time(), self.st
            while (raw := self.b.get("manifest/" + number(st["version"] + 1))) is not None:
                st = state.apply(st, state.decode("manifest", raw), state.digest(raw))
            if began - self.sure > SURE and self._collected(first):
                self.st = None
                continue
            self.st, self.sure = st, began
            return st

    def _cold(self):
        newest = list(self.b.list("checkpoint/"))[-1:]
        raw = self.b.get(newest[0]) if newest else None
        self.st = state.decode("checkpoint", raw) if raw else state.new(self.uid, self.claimant)
        self.st["outcomes"] = self.st.get("outcomes") or []
        self.sure = 0.0

    def _collected(self, n):
        return any(True for _ in self.b.list("boundary/", "boundary/" + number(n)))

    # Publishing.

    def publish(self, epoch, entries):
        """Makes the entries visible in one step. Refused says why not."""
        while True:
            st = self.latest()
            for e in entries:
                state.check(st, e)
            b = {"store": self.uid, "number": st["version"] + 1, "parent": st.get("digest", ""), "attempt": new_id(),
                 "by": {"role": "writer", "process": self.process, "writer": self.id, "epoch": epoch}, "entries": entries}
            if st.get("head"):
                b["head"] = st["head"]
            raw = state.encode("manifest", b, st.get("format", 1))
            own = self.b.settle("manifest/" + number(b["number"]), raw)
            if own and not self._collected(b["number"]):
                self.st = state.apply(st, b, state.digest(raw))
                if b["number"] % CHECKPOINT_EVERY == 0:
                    self.b.settle("checkpoint/" + number(b["number"]), state.encode("checkpoint", self.st, st.get("format", 1)))
                return self.st
            if own:  # a number that was collected: it does not count
                self.st = None

    def register(self):
        """Step 0. A second time only after a fence; after another process never."""
        while True:
            cur = self.latest()["writers"].get(self.id, {"number": 0})
            if self.epoch and cur.get("process"):
                if cur["process"] == self.process:
                    return
                sys.exit(f"superseded by process {cur['process']}")
            epoch = {"number": cur["number"] + 1, "process": self.process}
            try:
                self.publish(epoch, [{"kind": "register", "writer": self.id, "epoch": epoch}])
                self.epoch = epoch
                return
            except Refused:
                continue

    # One operation.

    def commit(self, content):
        """Publishes new content of tables, in one step, and returns the operation."""
        st = self.latest()
        if st["writers"].get(self.id) != self.epoch:
            self.register()
            st = self.latest()
        self._nothing_pends(content, None)
        op = new_id()
        plans = []
        for t in sorted(content):
            plan = {"table": t, "number": state.ref(st, t).get("number", 0) + 1}
            if t in st["tables"]:
                plan["expected"] = state.ref(st, t)
            plans.append(plan)
        s = {"store": self.uid, "operation": op, "attempt": new_id(), "writer": self.id, "epoch": self.epoch, "kind": "checkpoint",
             "base": st["version"], "started": datetime.datetime.now(datetime.timezone.utc).isoformat(), "tables": plans,
             "outcomes": {"publish": new_id(), "abandon": new_id(), "rollBack": new_id()}}
        try:
            if not self.b.settle("recovery/" + op, state.encode("sidecar", s)):  # 1 Arm
                raise Failed("the operation id is spent")
            self._look_again(s, content)
            reached = [self._effect(s, p, content[p["table"]]) for p in plans]  # 2 Apply
            confirmed = {"store": self.uid, "operation": op, "attempt": s["attempt"], "tables": reached}
            if not self.b.settle(f"recovery/{op}.confirmed", state.encode("confirmed", confirmed)):  # 3 Confirm
                raise Refused("moved", "the confirmation holds other bytes")
            digests = {r["table"]: r["digest"] for r in reached}
            entry = self._entry(s, "publish")
            entry["tables"] = []
            for p in plans:
                change = {"table": p["table"], "to": {"number": p["number"], "operation": op, "digest": digests[p["table"]]}}
                if "expected" in p:
                    change["expected"] = p["expected"]
                entry["tables"].append(change)
            self.publish(self.epoch, [entry])  # 4 Publish
        except Refused as e:
            return self._refused(s, e)
        except s3.Unknown:
            return self._wait(s)
        self._clean_up(op)  # 5 Delete
        return op

    def _entry(self, s, kind):
        return {"kind": kind, "operation": s["operation"], "writer": self.id, "epoch": s["epoch"], "base": s["base"],
                "outcomeID": s["outcomes"][kind]}

    def _effect(self, s, p, value):
        raw = state.encode("json", {"operation": s["operation"], "value": value})
        self.b.settle(f"tables/{p['table']}/{number(p['number'])}-{s['operation']}", raw)
        return {"table": p["table"], "number": p["number"], "digest": raw.split(b"\n", 1)[0].split(b" ")[3].decode()}

    def _nothing_pends(self, tables, own):
        for key in self.b.list("recovery/"):
            if key.endswith((".confirmed", ".plan")) or key == f"recovery/{own}":
                continue
            raw = self.b.get(key)
            try:
                body = state.decode("sidecar", raw) if raw else {"tables": []}
            except (ValueError, state.Newer):
                continue  # a bad one blocks only its owner: pins keep us safe
            if any(p["table"] in tables for p in body["tables"]):
                raise Refused("pending", f"operation {body['operation']} pends")

    def _look_again(self, s, tables):
        """After Arm: two writers may have passed the first look together."""
        self._nothing_pends(tables, s["operation"])
        st = self.latest()
        if st["writers"].get(self.id) != self.epoch:
            raise Refused("fenced", "since the operation was armed")
        if s["base"] < st.get("announced", 0):
            raise Refused("moved", "armed below the announced low-water")
        for p in s["tables"]:
            if state.ref(st, p["table"]) != p.get("expected", {}):
                raise Refused("moved", f"table {p['table']}")

    def _refused(self, s, e):
        if e.word == "decided":
            return self._follow(s, e.detail)
        if e.word == "fenced":  # it decides nothing any more
            return self._wait(s)
        try:  # withdraw: an entry first, then the delete
            self.publish(self.epoch, [self._entry(s, "abandon")])
        except Refused as why:
            return self._refused(s, why)
        self._clean_up(s["operation"])
        raise Failed(str(e))

    def _wait(self, s):
        """Somebody else decides. What the entry says is what the client is told."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            o = state.outcome(self.latest(), s["operation"])
            if o:
                return self._follow(s, o)
            time.sleep(0.05)
        raise s3.Unknown(f"operation {s['operation']} has no outcome yet")

    def _follow(self, s, o):
        if o["by"]["role"] == "writer" and o["by"]["process"] == self.process:
            self._clean_up(s["operation"])
        if o["kind"] != "publish":
            raise Failed(f"{o['kind']} in manifest {o['version']} by {o['by']['role']}")
        return s["operation"]

    def _clean_up(self, op):
        try:
            self.b.delete(f"recovery/{op}.confirmed")
            self.b.delete("recovery/" + op)
        except (s3.Unknown, RuntimeError):
            pass  # not the client's business: recovery finds the entry, and deletes it

    def read(self, table):
        pin = self.latest()["tables"].get(table)
        if pin is None:
            return None
        raw = self.b.get(f"tables/{table}/{number(pin['number'])}-{pin['operation']}")
        return state.decode("json", raw)["value"]


def main():
    w = Writer(s3.Bucket(os.environ["SALVOR_ROOT"]), os.environ["SALVOR_WRITER"])
    print("ready shared", flush=True)
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        try:
            if word == "commit":
                print("ok", w.commit(json.loads(rest)), flush=True)
            else:
                value = w.read(rest)
                print("none" if value is None else "value " + json.dumps(value), flush=True)
        except (Failed, Refused, state.Newer, RuntimeError) as e:
            print("failed", " ".join(str(e).split()), flush=True)
        except s3.Unknown as e:
            print("unknown", " ".join(str(e).split()), flush=True)


if __name__ == "__main__":
    main()
