"""A gateway that says what a test wants."""
import json

import harness


def event(data):
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"


def delta(**what):
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": what, "finish_reason": None}]}


FINISH = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
          "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
         "usage": {"prompt_tokens": 7, "completion_tokens": 42, "total_tokens": 49}}
DONE = event(b"[DONE]")


def raw_delta(inner):
    """An event whose text is the bytes `inner` between quotes, valid or not."""
    return event(b'{"id":"c1","choices":[{"index":0,"delta":{"content":"' + inner + b'"}}]}')


def stream(*pieces, usage=True):
    """A whole answer: its first event, the pieces (text, or finished events), its end."""
    events = [event(delta(role="assistant", content=""))]
    events += [p if isinstance(p, bytes) else event(delta(content=p)) for p in pieces]
    events.append(event(FINISH))
    if usage:
        events.append(event(USAGE))
    return events + [DONE]


class ChatServer(harness.Server):
    """Answers chat requests with the answers given, in turn and the last one again and again.

    An answer is a list of writes (bytes; a callable is called with the connection), which make one
    stream, or a function (connection, request). `models` are listed at /v1/models.
    """

    def __init__(self, *answers, models=("first", "second"), tls=None, **headers):
        super().__init__(self.serve, tls)
        self.answers, self.models, self.headers = list(answers), models, headers
        self.url += "/v1"

    def chats(self):
        """The bodies of the chat requests."""
        return [json.loads(r.body) for r in self.requests if r.method == "POST"]

    def serve(self, connection, request):
        if request.path == "/v1/models":
            rows = [{"id": m, "object": "model"} for m in self.models]
            connection.answer(200, json.dumps({"object": "list", "data": rows}).encode(),
                              Content_Type="application/json")
            return
        if request.path != "/v1/chat/completions":
            connection.answer(404, b'{"error":{"message":"no such path"}}')
            return
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer(connection, request)
            return
        send_stream(connection, answer, **self.headers)


def send_stream(connection, writes, end=True, **headers):
    """One chunk for each write."""
    connection.answer(200, length="none", Content_Type="text/event-stream; charset=utf-8",
                      Transfer_Encoding="chunked", **headers)
    for write in writes:
        if callable(write):
            write(connection)
        elif write:
            connection.send(b"%x\r\n" % len(write) + write + b"\r\n")
    if end:
        connection.send(b"0\r\n\r\n")


def cut_stream(writes, reset=False):
    """An answer that is cut behind these writes."""
    def answer(connection, _):
        send_stream(connection, writes, end=False)
        connection.cut(reset)
    return answer


def ended_stream(writes):
    """An answer that ends in order, but without having said so."""
    return lambda connection, _: send_stream(connection, writes)


def error(status, message, **headers):
    body = json.dumps({"error": {"message": message, "type": "x", "param": None, "code": None}})
    return lambda connection, _: connection.answer(status, body.encode(),
                                                   Content_Type="application/json", **headers)
