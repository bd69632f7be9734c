"""Asks a server without pause, over connections of both kinds, and says what it was answered.

    python load.py URL NEW KEPT PAUSE

NEW clients open a connection for each request, KEPT ones keep theirs; each waits PAUSE seconds
between two requests. Every second a line of JSON sums up; SIGTERM ends it.
"""

import http.client
import json
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit

URL, NEW, KEPT, PAUSE = sys.argv[1], *map(float, sys.argv[2:])
BODY = json.dumps({"dataframe_records": [{"x": 1.0}]})
answers: dict[str, int] = {}
errors: list[str] = []
lock = threading.Lock()
ended = threading.Event()


def be_let_in(seconds: float = 30.0) -> None:
    """Wait until the server can be reached: policies let a pod in only when they know of it."""
    place, end = urlsplit(URL), time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError):
            socket.create_connection((place.hostname, place.port or 80), timeout=1).close()
            return
        time.sleep(0.1)


def ask(connection: http.client.HTTPConnection) -> str:
    connection.request("POST", "/invocations", BODY, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise OSError(f"{answer.status}: {body[:200]!r}")
    return str(json.loads(body)["predictions"][0])


def client(kept: bool) -> None:
    connection = http.client.HTTPConnection(urlsplit(URL).netloc, timeout=30)
    kind = "kept" if kept else "new"
    while not ended.wait(PAUSE):
        try:
            version = ask(connection)
        except Exception as error:
            with lock:
                errors.append(f"{kind}: {error!r}")
            connection.close()
        else:
            with lock:
                answers[f"{kind} {version}"] = answers.get(f"{kind} {version}", 0) + 1
        if not kept:
            connection.close()


def sum_up() -> None:
    with lock:
        found = {"answers": answers, "errors": errors[:20], "failed": len(errors)}
        print(json.dumps(found), flush=True)


signal.signal(signal.SIGTERM, lambda *_: ended.set())
be_let_in()
threads = [threading.Thread(target=client, args=(at >= NEW,)) for at in range(int(NEW + KEPT))]
for one in threads:
    one.start()
while not ended.wait(1.0):
    sum_up()
for one in threads:
    one.join()
sum_up()
