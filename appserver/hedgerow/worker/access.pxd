cimport cython

from ..http.request cimport Request
from ..pep3333.bridge cimport Exchange
from .clock cimport timestamp
from .connection cimport Connection
from .job cimport Job
from .log cimport LogQueue

cdef class AccessLog:
    cdef readonly LogQueue log
    cdef public Py_ssize_t in_flight
    cdef readonly Py_ssize_t requests
    cdef readonly Py_ssize_t rejections
    cdef object _streams
    cdef dict _begun
    cdef bint _enabled

    @cython.locals(bytes_in=Py_ssize_t, complete=bint)
    cpdef served(self, Job job, Exchange exchange, double seconds)

@cython.locals(request=Request, us=cython.longlong)
cpdef str access_line(Job job, Exchange exchange, double seconds)

cdef str _cause(Job job, Exchange exchange)
