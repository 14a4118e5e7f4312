from ..hosting.counts cimport Counts
from ..hosting.gate cimport Gate
from ..http.request cimport Request
from .connection cimport Connection

cdef class Target:
    cdef readonly str name
    cdef readonly object application
    cdef readonly object context
    cdef readonly Counts counts
    cdef readonly Gate gate
    cdef readonly list free
    cdef readonly bint server_timing
    cdef readonly bint early_hints
    cdef readonly object files
    cdef readonly bint forwarded
    cdef readonly object tell
    cdef readonly object threads
    cdef readonly object rates
    cdef readonly object deadlines
    cdef readonly object max_body
    cdef public bint warned
    cdef public object canary

cdef class Job:
    cdef readonly object number
    cdef public str cause
    cdef public Counts counts
    cdef readonly Connection connection
    cdef public str mount
    cdef public bint hints
    cdef public bint movable
    cdef public int refused
    cdef public tuple own_headers
    cdef public str path_info
    cdef public tuple peer
    cdef readonly str query
    cdef readonly Request request
    cdef public str request_id
    cdef public str script_name
    cdef public Target target
    cdef public object waiting
    cdef public object runner
    cdef public double since
    cdef public Py_ssize_t seen_bytes
    cdef public int ended
    cdef public object thread
    cdef public object side
