# Copyright The salvor authors.
# SPDX-License-Identifier: Apache-2.0
"""The five requests that the protocol needs of S3, with the standard library only.

A put if absent has four ends, and what decides between them is the whole point:

    created   200
    exists    412                   somebody has the name
    retry     409, 429, 503 SlowDown, no connection: proven that nothing landed
    unknown   everything else       read the name, never guess

A request that is refused for what it is (403, 400, ...) is an error.
"""

import datetime
import hashlib
import hmac
import http.client
import os
import time
import urllib.parse
import xml.etree.ElementTree as xml

CREATED, EXISTS, RETRY, UNKNOWN = "created", "exists", "retry", "unknown"


# Refused for what the request is: nothing landed, and sending it again does not help.
REFUSED = (400, 401, 403, 404, 405, 411, 413, 414, 417, 431, 501)


class Unknown(Exception):
    """An answer stayed lost. Nothing may be concluded from it."""


class Bucket:
    """A prefix of a bucket: s3://bucket/prefix?endpoint=http://host:port&region=r."""

    def __init__(self, root, patience=15.0):
        u = urllib.parse.urlsplit(root)
        q = urllib.parse.parse_qs(u.query)
        self.bucket, self.prefix = u.netloc, (u.path.strip("/") + "/").lstrip("/")
        self.region = q.get("region", [os.environ.get("AWS_REGION", "us-east-1")])[0]
        self.endpoint = urllib.parse.urlsplit(
            q.get("endpoint", [f"https://s3.{self.region}.amazonaws.com"])[0])
        self.patience = patience

    def _send(self, method, key, query=None, headers=None, body=b""):
        """One request, signed, sent once. Returns (status, body)."""
        path = urllib.parse.quote(f"/{self.bucket}/{self.prefix}{key}" if key else f"/{self.bucket}")
        qs = "&".join(f"{urllib.parse.quote(k, safe='')}={urllib.parse.quote(v, safe='')}"
                      for k, v in sorted((query or {}).items()))
        headers = dict(headers or {})
        self._sign(method, path, qs, headers, body)
        kind = http.client.HTTPSConnection if self.endpoint.scheme == "https" else http.client.HTTPConnection
        c = kind(self.endpoint.netloc, timeout=15)
        try:
            c.request(method, path + ("?" + qs if qs else ""), body, headers)
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def _sign(self, method, path, qs, headers, body):
        """AWS signature version 4."""
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        headers.update({"host": self.endpoint.netloc, "x-amz-date": stamp,
                        "x-amz-content-sha256": hashlib.sha256(body).hexdigest()})
        if os.environ.get("AWS_SESSION_TOKEN"):
            headers["x-amz-security-token"] = os.environ["AWS_SESSION_TOKEN"]
        names = sorted(headers)
        canonical = "\n".join([method, path, qs, *(f"{n}:{headers[n].strip()}" for n in names), "",
                               ";".join(names), headers["x-amz-content-sha256"]])
        scope = f"{day}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        k = ("AWS4" + os.environ.get("AWS_SECRET_ACCESS_KEY", "")).encode()
        for part in [day, self.region, "s3", "aws4_request"]:
            k = hmac.new(k, part.encode(), hashlib.sha256).digest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={os.environ.get('AWS_ACCESS_KEY_ID', '')}/{scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={hmac.new(k, text.encode(), hashlib.sha256).hexdigest()}")

    def _again(self, *args):
        """A read or a delete, which may be sent as often as one likes."""
        for wait in (0.02, 0.1, 0.5, None):
            try:
                status, body = self._send(*args)
                if status < 500 and status != 429:
                    return status, body
                why = f"{status} {body[:200]!r}"
            except (OSError, http.client.HTTPException) as e:
                why = repr(e)
            if wait is None:
                raise Unknown(f"{args[0]} {args[1]}: {why}")
            time.sleep(wait)

    def get(self, key):
        """The object's bytes; None when it is absent."""
        status, body = self._again("GET", key)
        if status == 200:
            return body
        if status == 404 and b"NoSuchKey" in body:
            return None
        raise RuntimeError(f"get {key}: {status} {body[:200]!r}")

    def list(self, prefix, after=""):
        """The names that begin with prefix and come after `after`, in order."""
        query = {"list-type": "2", "prefix": self.prefix + prefix}
        if after:
            query["start-after"] = self.prefix + after
        while True:
            status, body = self._again("GET", "", query)
            if status != 200:  # a failed listing is never an empty one
                raise RuntimeError(f"list {prefix}: {status} {body[:200]!r}")
            page = xml.fromstring(body)
            ns = page.tag[: page.tag.index("}") + 1] if "}" in page.tag else ""
            for c in page.findall(ns + "Contents"):
                yield c.findtext(ns + "Key")[len(self.prefix):]
            if page.findtext(ns + "IsTruncated") != "true":
                return
            query.pop("start-after", None)
            query["continuation-token"] = page.findtext(ns + "NextContinuationToken")

    def delete(self, key):
        status, body = self._again("DELETE", key)
        if status not in (200, 204, 404):
            raise RuntimeError(f"delete {key}: {status} {body[:200]!r}")

    def put_if_absent(self, key, body):
        """One request; which of the four ends it came to."""
        try:
            status, answer = self._send("PUT", key, None, {"if-none-match": "*"}, body)
        except ConnectionRefusedError:
            return RETRY
        except (OSError, http.client.HTTPException):
            return UNKNOWN
        if status == 200:
            return CREATED
        if status == 412:
            return EXISTS
        if status in (409, 429) or status == 503 and b"SlowDown" in answer:
            return RETRY
        if status in REFUSED:
            raise RuntimeError(f"put {key}: {status} {answer[:300]!r}")
        return UNKNOWN

    def settle(self, key, body):
        """Puts if absent, and comes back when it is known whose object is there:
        True for these very bytes. Unknown when that could not be told."""
        deadline, wait, lost = time.monotonic() + self.patience, 0.005, False
        while True:
            end = self.put_if_absent(key, body)
            if end == CREATED:
                return True
            if end != RETRY:
                lost = lost or end == UNKNOWN
                there = self.get(key)
                if there is not None:
                    return there == body
                if end == EXISTS:
                    return False  # it was there, and is gone again
            if time.monotonic() > deadline:
                raise Unknown(f"put {key}") if lost else RuntimeError(f"put {key}: nothing landed")
            time.sleep(wait)
            wait = min(2 * wait, 1.0)
