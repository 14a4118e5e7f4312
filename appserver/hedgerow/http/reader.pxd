cimport cython

from .head cimport parse_head
from .request cimport Request

cdef class RequestReader:
    cdef object _broken
    cdef object _decoder
    cdef Py_ssize_t _empty_lines
    cdef Py_ssize_t _searched
    cdef dict _template
    cdef readonly bint body_done
    cdef readonly Py_ssize_t body_bytes
    cdef readonly bytes buffer
    cdef public object max_body_bytes
    cdef public Py_ssize_t max_head_bytes
    cdef public Py_ssize_t max_headers
    cdef public Py_ssize_t max_target_bytes

    cpdef feed(self, bytes data)
    cpdef limit_body(self, object max_bytes)
    @cython.locals(data=bytes)
    cpdef bytes read_body(self)
    @cython.locals(head=bytes)
    cpdef Request next_request(self)
    cpdef bytes take(self)
    cpdef close(self)
    @cython.locals(buffer=bytes, end=Py_ssize_t)
    cdef bytes _take_head(self)
    @cython.locals(request=Request)
    cdef Request _begin(self, bytes head)
    @cython.locals(start=Py_ssize_t)
    cdef bytes _skip_empty_lines(self, bytes buffer)
    cdef _check_incomplete(self, bytes buffer)
    cdef _too_large(self, bytes buffer)
