# ruff: noqa: PLC0415, S106
"""Libraries that wait for a second, one a path, for tests/live/test_patch_audit.py. The query is the port of a server
that never answers. Each imports its library itself: not all are installed everywhere.
"""

import asyncio
import contextlib
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import time


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    try:
        told = globals()[f"do_{name}"](int(environ["QUERY_STRING"] or 0))
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [str(told).encode()]


def do_zmq(port):
    import zmq

    sock = zmq.Context.instance().socket(zmq.PULL)
    sock.linger = 0
    try:
        sock.connect(f"tcp://127.0.0.1:{port}")
        sock.setsockopt(zmq.RCVTIMEO, 1000)
        sock.recv()
    finally:
        sock.close()


def do_multiprocessing_lock(port):
    lock = multiprocessing.Lock()
    lock.acquire()
    return lock.acquire(timeout=1)


def do_sqlite3(port):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "db")
        with (
            contextlib.closing(sqlite3.connect(path, isolation_level=None)) as first,
            contextlib.closing(sqlite3.connect(path, 1.0, isolation_level=None)) as second,
        ):
            first.execute("begin immediate")
            second.execute("begin immediate")


def do_asyncio(port):
    asyncio.run(asyncio.sleep(1))
    return "slept"


def do_trio(port):
    import trio

    trio.run(trio.sleep, 0.1)
    return "slept"


def do_process_pool(port):
    with multiprocessing.Pool(2) as pool:
        return pool.map(abs, [-1, -2])


def do_psycopg2(port):
    import psycopg2

    psycopg2.connect(host="127.0.0.1", port=port, connect_timeout=2, dbname="x", user="x")


def do_pycurl(port):
    import pycurl

    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, f"http://127.0.0.1:{port}/")
    curl.setopt(pycurl.TIMEOUT_MS, 1000)
    curl.perform()


def do_pymssql(port):
    import pymssql

    pymssql.connect(server="127.0.0.1", port=str(port), user="x", password="x", login_timeout=1)


def do_grpc(port):
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        channel.unary_unary("/a/b")(b"x", timeout=1)


def do_confluent_kafka(port):
    import confluent_kafka

    producer = confluent_kafka.Producer({"bootstrap.servers": f"127.0.0.1:{port}", "message.timeout.ms": 1000})
    producer.produce("topic", b"x")
    return producer.flush(1)


def do_uvloop(port):
    import uvloop

    uvloop.run(asyncio.sleep(1))
    return "slept"


def do_eventlet(port):
    import eventlet

    eventlet.sleep(1)
    return "slept"


def do_apsw(port):
    import apsw

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "db")
        with contextlib.closing(apsw.Connection(path)) as first, contextlib.closing(apsw.Connection(path)) as second:
            second.set_busy_timeout(1000)
            first.execute("begin immediate")
            second.execute("begin immediate")


LMDB_WRITER = """
import lmdb, sys, time
with lmdb.open(sys.argv[1]).begin(write=True):
    print("writes", flush=True)
    time.sleep(1)
"""


def do_lmdb(port):
    import lmdb

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", LMDB_WRITER, folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
            other.stdout.readline()
            with lmdb.open(folder) as opened, opened.begin(write=True):
                return "written"


def do_numpy(port):
    import numpy

    matrix = numpy.random.rand(800, 800)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        matrix @ matrix
    return "computed"
