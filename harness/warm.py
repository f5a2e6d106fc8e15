"""Commands that start in a tenth of the time: a process that has loaded the libraries forks one for each.

A cell of the smoke tier takes 0.1 s, and a second to load numba and what it needs. The workflow starts `serve`,
and names its socket in the environment; `ask` hands a command over to it. Only libraries are loaded before the
fork, never a module of this project: a command reads our sources as they are when it starts. Without the
environment variable, on another machine or once the process is gone, a command runs as always.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
import threading
import traceback

from openqueues import ONE_THREAD, WARM

LIBRARIES = ("numba", "scipy.optimize", "pyarrow.parquet", "pandas", "matplotlib.backends.backend_svg")
_LENGTH = 8  # bytes of the number that says how long the request is
_BEGUN = b"+"


KILLED = -1


def ask(arguments: list[str]) -> int | None:
    """Exit code of the command run by the process behind the socket; None when there is none to run it.

    A command that has begun is never run again: one that is killed has the code KILLED.
    """
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(os.environ[WARM])
            request = json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode()
            socket.send_fds(server, [len(request).to_bytes(_LENGTH, "big")], [0, 1, 2])
            server.sendall(request)
            if server.recv(1) != _BEGUN:
                return None
            answer = server.recv(1)
    except (OSError, KeyError):
        return None
    if not answer:
        print("openqueues: the process of this command was killed.", file=sys.stderr)
    return answer[0] if answer else KILLED


def serve(path: str) -> None:
    """Load the libraries, then fork a process for each command that comes; ends when its parent does."""
    parent = os.getppid()
    os.environ.update(ONE_THREAD)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children: the client reads their codes
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(path)
        except OSError:  # a temporary folder of too long a name, or one that knows no sockets
            return
        server.listen(128)
        _load()
        server.settimeout(1)
        while os.getppid() == parent:
            try:
                client, _ = server.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                server.close()
                _run(client)
            client.close()


def _load() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    target = importlib.import_module("numba.core.registry").cpu_target
    target.typing_context.refresh()  # what numba else does when the first kernel is loaded
    target.target_context.refresh()


def _run(client: socket.socket) -> None:
    """In the forked process: become the command, and tell its exit code."""
    code = 1
    try:
        for sign in (signal.SIGINT, signal.SIGCHLD):
            signal.signal(sign, signal.default_int_handler if sign == signal.SIGINT else signal.SIG_DFL)
        client.settimeout(None)
        head, descriptors, _, _ = socket.recv_fds(client, _LENGTH, 3)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        length, text = int.from_bytes(head, "big"), b""
        while len(text) < length:
            text += client.recv(length - len(text))
        arguments, folder, environment = json.loads(text)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        del os.environ[WARM]
        sys.argv[1:] = arguments
        threading.Thread(target=_end_with, args=(client,), daemon=True).start()
        client.sendall(_BEGUN)
        from openqueues.cli import main

        code = main(arguments)
    except SystemExit as end:  # argparse, after --help
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            client.sendall(bytes([code]))
        finally:
            os._exit(code)


def _end_with(client: socket.socket) -> None:
    """A command whose client has been killed ends, as it would have with it."""
    if not client.recv(1):
        os._exit(1)


if __name__ == "__main__":
    serve(sys.argv[1])
