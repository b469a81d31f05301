"""A server of one model file, with the faults that a test wants."""
import hashlib
import re

import harness


class ModelServer(harness.Server):
    """Serves `content` at every path but those in `redirects` (path -> status, location).

    ranges        understand Range
    if_range      understand If-Range (a server without it sends the range regardless)
    etag, last_modified, headers   of the answers; None: none
    cuts          for each answer in turn: after so many bytes of its body the connection ends
    resets        those ends are resets
    errors        for each request in turn, a status to answer with instead; 0: none
    length        what Content-Length says, or a function of the real length; "none": nothing
    pace          (bytes, event): after so many bytes of the body, wait for the event
    """

    def __init__(self, content, tls=None, **options):
        super().__init__(self.serve, tls)
        self.content = content
        self.ranges = self.if_range = True
        self.etag, self.last_modified, self.length, self.pace = '"v1"', None, None, None
        self.resets = self.chunked = False
        self.cuts, self.errors, self.headers, self.redirects = [], [], {}, {}
        for name, value in options.items():
            if not hasattr(self, name):
                raise AttributeError(name)
            setattr(self, name, value)

    def sha256(self):
        return hashlib.sha256(self.content).hexdigest()

    def asked(self):
        """The Range field of each request."""
        return [r.headers.get("range") for r in self.requests]

    def _first(self, request):
        """Where the body starts: 0 for the whole, -1: cannot be satisfied."""
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if not wanted or not self.ranges:
            return 0
        condition = request.headers.get("if-range")
        if self.if_range and condition not in (None, self.etag, self.last_modified):
            return 0
        first = int(wanted[1])
        return first if first < len(self.content) else -1

    def _fields(self):
        fields = dict(self.headers)
        if self.etag:
            fields["ETag"] = self.etag
        if self.last_modified:
            fields["Last-Modified"] = self.last_modified
        return fields

    def serve(self, connection, request):
        error = self.errors.pop(0) if self.errors else 0
        if error:
            connection.answer(error, b"sorry", **self.headers)
            return
        if request.path in self.redirects:
            status, location, *more = self.redirects[request.path]
            connection.answer(status, b"elsewhere", Location=location, **(more[0] if more else {}))
            return
        first = self._first(request)
        if first < 0:
            connection.answer(416, b"", Content_Range=f"bytes */{len(self.content)}",
                              **self._fields())
            return
        self._send(connection, first, request.method == "HEAD")

    def _send(self, connection, first, head_only):
        fields = self._fields()
        body = self.content[first:]
        if first > 0:
            size = len(self.content)
            fields["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        length = self.length(len(body)) if callable(self.length) else self.length
        if length is None:
            length = len(body)
        if self.chunked:
            length, fields["Transfer-Encoding"] = "none", "chunked"
        connection.answer(206 if first > 0 else 200, b"", length=length, **fields)
        if head_only:
            return
        cut = self.cuts.pop(0) if self.cuts else None
        if self.chunked:
            body = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
        if self.pace and cut is None:
            at, event = self.pace
            connection.send(body[:at])
            event.wait(30)
            body = body[at:]
        connection.send(body if cut is None else body[:cut])
        short = length != "none" and length < len(body)
        if cut is not None or short or (length == "none" and not self.chunked):
            connection.cut(self.resets)
