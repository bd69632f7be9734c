"""A server for tests of tunnels: `GET /N` gives N bytes, `PUT` takes any; an echo on port 9001."""

import http.server
import os
import socket
import threading

PIECE = 1 << 20


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        size = int(self.path.strip("/") or 0)
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.send_header("X-Pod", os.environ["HOSTNAME"])
        self.end_headers()
        for start in range(0, size, PIECE):
            self.wfile.write(b"x" * min(size - start, PIECE))

    do_HEAD = do_GET

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, PIECE)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *said):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


def echo(connection):
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def echoes():
    with socket.create_server(("", 9001)) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=echo, args=(connection,), daemon=True).start()


threading.Thread(target=echoes, daemon=True).start()
Server(("", 8000), Handler).serve_forever()
