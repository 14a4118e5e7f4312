cimport cython

from ..http.reader cimport RequestReader
from ..http.request cimport Request
from .transfer cimport Transfer

cdef class Connection(Transfer):
    cdef bint _ending
    cdef Py_ssize_t _left
    cdef bint _pending
    cdef bint _skipping
    cdef readonly bint busy
    cdef readonly bint surplus

    cdef _on_end(self)
    cdef _end_of_requests(self)
    @cython.locals(request=Request)
    cdef _advance(self)
    cdef _expect_body(self, Request request)
    cdef _schedule(self)
    cpdef reject(self, error)
    cpdef bint may_keep(self) except? -1
    @cython.locals(reader=RequestReader)
    cpdef finished(self, bint complete, bint keep)
    cdef _skip_body(self)
    cdef _skip(self)
    cdef _linger(self)
    cdef _watch(self, callback)
    cdef _receive(self)
    cpdef review(self, double now)
    cdef double _limit_s(self, double now) except? -1
    cpdef close(self, bint abort=*)
