"""Both ends of WebSockets as programs have them: a server that echoes, and a client that checks what comes back.

    talk.py serve PORT
    talk.py ask URL        exits with 0 if all is as it should be
"""

import os
import sys
import threading
from contextlib import ExitStack

from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.frames import CloseCode
from websockets.sync.client import connect
from websockets.sync.server import serve

MIB = 1 << 20


def echo(socket):
    """Sends back what comes: whole, or in as many fragments as it came in. `close CODE REASON` closes so; `fragments N` sends N of them."""
    try:
        for message in socket:
            words = message.split(" ", 2) if isinstance(message, str) else []
            if words[:1] == ["close"]:
                socket.close(int(words[1]), words[2])
                return
            if words[:1] == ["fragments"]:
                socket.send(f"part {n};" for n in range(int(words[1])))
                continue
            socket.send(message)
    except ConnectionClosed:
        pass


def choose(_, offered):
    return "chat" if "chat" in offered else None


def check(what, is_so):
    if not is_so:
        sys.exit(f"{what}: not so")


def ask(url):
    with connect(url, max_size=8 * MIB, subprotocols=["chat", "other"]) as socket:
        check("the subprotocol is the server's choice", socket.subprotocol == "chat")
        check("compression is agreed on", [extension.name for extension in socket.protocol.extensions] == ["permessage-deflate"])
        binary, text = os.urandom(MIB), "grüße " * (MIB // 7)
        for message in [b"", b"\0", "", "hello", binary, text]:
            socket.send(message)
            check(f"{len(message)} of {type(message).__name__} come back", socket.recv() == message)
        socket.send(binary[at : at + 65536] for at in range(0, MIB, 65536))
        check("a message in fragments comes back", socket.recv() == binary)
        socket.send("fragments 500")
        check("fragments come as they were sent", list(socket.recv_streaming())[:500] == [f"part {n};" for n in range(500)])
        for n in range(20):
            check("a ping is answered", socket.ping().wait(10))
            socket.send(f"{n}")
            check("and nothing is lost beside it", socket.recv() == f"{n}")
        # Many at once, both ways.
        sender = threading.Thread(target=lambda: [socket.send(f"{n} " * 100) for n in range(1000)])
        sender.start()
        for n in range(1000):
            check("the order is kept", socket.recv() == f"{n} " * 100)
        sender.join()

    # Without compression what is sent is what is on the wire.
    with connect(url, compression=None, max_size=8 * MIB) as socket:
        for _ in range(8):
            socket.send(binary)
        for _ in range(8):
            check("eight of a mebibyte come back", socket.recv() == binary)

    for code, reason in [(1000, "done"), (1001, "going away"), (4001, "of our own"), (4999, "x" * 120)]:
        with connect(url) as socket:
            socket.send(f"close {code} {reason}")
            try:
                socket.recv()
                sys.exit("it should have been closed")
            except ConnectionClosed as closed:
                check(f"code {code} comes through", closed.rcvd.code == code and closed.rcvd.reason == reason)
        with connect(url) as socket:
            socket.close(code, reason)
            check(f"code {code} goes through", socket.protocol.close_code == code)

    with connect(url, max_size=1000) as socket:
        socket.send("x" * 2000)
        try:
            socket.recv()
            sys.exit("it should have been too large")
        except ConnectionClosedError as closed:
            check("a message that is too large closes with 1009", closed.sent.code == CloseCode.MESSAGE_TOO_BIG)

    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(url)) for _ in range(50)]
        for n, socket in enumerate(sockets):
            socket.send(f"{n}")
        check("fifty at once each get their own", [socket.recv() for socket in sockets] == [f"{n}" for n in range(50)])


match sys.argv[1:]:
    case ["serve", port]:
        with serve(echo, "127.0.0.1", int(port), max_size=8 * MIB, select_subprotocol=choose) as server:
            server.serve_forever()
    case ["ask", url]:
        ask(url)
    case _:
        sys.exit(__doc__)
