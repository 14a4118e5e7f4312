"""What an answer costs when its app runs in a native thread, beside the same in a greenlet: CPU us a request of the
worker, user and system of all its threads, in alternating rounds of new processes.

    python tests/bench/hops.py [ROUNDS] [SECONDS]
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE.parent / "live")]

from load import Shape  # noqa: E402  # beside us
from rounds import Sample, Target, measure  # noqa: E402
from worker_support import serving  # noqa: E402

APP = '''
def application(environ, start_response):
    """An answer in one block, in the four pieces of an iterator, or the request's body."""
    name = environ["PATH_INFO"].strip("/")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "16" if name == "pieces" else "4")])
    if name == "body":
        environ["wsgi.input"].read()
    return (piece for piece in [b"hop "] * 4) if name == "pieces" else [b"hop\\n"]
'''
SHAPES = (
    Shape("one block", "/app/"),
    Shape("one block, one client", "/app/", connections=1),
    Shape("4 blocks", "/app/pieces"),
    Shape("64 KiB POST", "/app/body", body_bytes=2**16),
)
MODES = {"greenlets": False, "threads": True}


def main(rounds: int, seconds: float) -> None:
    """Print a table."""
    found = {(shape.name, mode): list[Sample]() for shape in SHAPES for mode in MODES}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            app = Path(folder, "app")
            app.mkdir()
            (app / "app.py").write_text(APP)
            targets = {}
            for mode, threads in MODES.items():
                run = Path(folder, mode)
                run.mkdir()
                worker = stack.enter_context(
                    serving(run, {"app": app}, threads=threads, settings={"ACCESS_LOG": "false"})
                )
                targets[mode] = Target(mode, worker.address, (worker.process.pid,))
            for shape in SHAPES:
                for mode, target in targets.items():
                    found[shape.name, mode].append(measure(target, shape, seconds))
    print(table(found))


def table(found: dict[tuple[str, str], list[Sample]]) -> str:
    """Medians, and the median of the differences of neighbours in time."""
    lines = []
    for shape in SHAPES:
        greenlets, threads = (sorted(found[shape.name, mode], key=lambda one: one.cpu_us) for mode in MODES)
        pairs = zip(found[shape.name, "greenlets"], found[shape.name, "threads"], strict=True)
        more = sorted(one.cpu_us - other.cpu_us for other, one in pairs)
        middle = len(more) // 2
        lines.append(
            f"{shape.name:24} greenlets {greenlets[middle].cpu_us:6.1f}  threads {threads[middle].cpu_us:6.1f}"
            f"  more {more[middle]:6.1f} us  ({more[0]:.1f} to {more[-1]:.1f})"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, float(sys.argv[2]) if len(sys.argv) > 2 else 1.2)
