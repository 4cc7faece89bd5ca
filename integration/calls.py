"""Both ends of gRPC as programs have them: a server of a few methods and of health, and a client that checks what comes back.

    calls.py serve PORT
    calls.py ask ADDRESS       exits with 0 if all is as it should be

Messages are bytes as they are: what passes through a proxy is frames and fields, whatever is encoded in them.
"""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

MIB = 1 << 20
LIMITS = [("grpc.max_receive_message_length", 8 * MIB), ("grpc.max_send_message_length", 8 * MIB)]
SERVING = b"\x08\x01"

cancelled = threading.Event()


def echo(message, context):
    context.set_trailing_metadata([("x-length", str(len(message))), ("x-seen-bin", bytes([0, 255]))])
    return message


def fail(message, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"grüße, {message.decode()}")


def count(message, context):
    for n in range(int(message)):
        yield str(n).encode()


def add(messages, context):
    return str(sum(int(message) for message in messages)).encode()


def talk(messages, context):
    for message in messages:
        yield b"you said " + message


def sleep(message, context):
    """Until it is cancelled, which `was_cancelled` tells of; the first thing to be seen is that it began."""
    ended = threading.Event()
    context.add_callback(ended.set)
    yield b"begun"
    if ended.wait(20):
        cancelled.set()


def was_cancelled(message, context):
    """Once for each call that was."""
    seen = cancelled.wait(10)
    cancelled.clear()
    return b"yes" if seen else b"no"


def serve(port):
    of = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Add": grpc.stream_unary_rpc_method_handler(add),
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
        "Sleep": grpc.unary_stream_rpc_method_handler(sleep),
        "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    }
    health = {"Check": grpc.unary_unary_rpc_method_handler(lambda message, context: SERVING)}
    server = grpc.server(ThreadPoolExecutor(32), options=LIMITS)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("test.Calls", of), grpc.method_handlers_generic_handler("grpc.health.v1.Health", health)]
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def check(what, is_so):
    if not is_so:
        sys.exit(f"{what}: not so")


def refused(call):
    """What a call that fails says: its code and its words."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def ask(address):
    with grpc.insecure_channel(address, options=LIMITS) as channel:
        unary = lambda name: channel.unary_unary(f"/test.Calls/{name}")
        for message in [b"", b"hello", bytes(4 * MIB)]:
            answer, call = unary("Echo").with_call(message, timeout=20)
            check(f"{len(message)} bytes come back", answer == message)
            trailers = dict(call.trailing_metadata())
            check("trailers come whole", trailers["x-length"] == str(len(message)) and trailers["x-seen-bin"] == bytes([0, 255]))
        code, words = refused(lambda: unary("Fail")(b"you", timeout=20))
        check("a failure is told in the server's words", (code, words) == (grpc.StatusCode.FAILED_PRECONDITION, "grüße, you"))
        check("a method that there is not", refused(lambda: unary("No")(b"", timeout=20))[0] == grpc.StatusCode.UNIMPLEMENTED)

        counted = channel.unary_stream("/test.Calls/Count")(b"1000", timeout=20)
        check("a stream of answers comes in order", list(counted) == [str(n).encode() for n in range(1000)])
        added = channel.stream_unary("/test.Calls/Add")((str(n).encode() for n in range(1000)), timeout=20)
        check("a stream of questions goes in order", added == str(sum(range(1000))).encode())

        # Each waits for the answer to what was said last: both directions flow at once or nothing does.
        heard = threading.Semaphore(1)

        def questions():
            for n in range(100):
                heard.acquire(timeout=20)
                yield str(n).encode()

        answers = []
        for answer in channel.stream_stream("/test.Calls/Talk")(questions(), timeout=20):
            answers.append(answer)
            heard.release()
        check("both talk at once", answers == [b"you said " + str(n).encode() for n in range(100)])

        since = time.monotonic()
        late = channel.unary_stream("/test.Calls/Sleep")(b"", timeout=0.5)
        code, _ = refused(lambda: list(late))
        check("a deadline is met", code == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - since < 5)
        check("and the server hears of it", unary("WasCancelled")(b"", timeout=20) == b"yes")

        with ThreadPoolExecutor(16) as many:
            each = [many.submit(unary("Echo"), str(n).encode(), timeout=20) for n in range(500)]
            check("many at once do not mix", [one.result() for one in each] == [str(n).encode() for n in range(500)])

    with grpc.insecure_channel(address) as channel:
        left = channel.unary_stream("/test.Calls/Sleep")(b"", timeout=20)
        check("it has begun", next(left) == b"begun")
        left.cancel()
        check("a cancellation reaches the server", channel.unary_unary("/test.Calls/WasCancelled")(b"", timeout=20) == b"yes")


match sys.argv[1:]:
    case ["serve", port]:
        serve(int(port))
    case ["ask", address]:
        ask(address)
    case _:
        sys.exit(__doc__)
