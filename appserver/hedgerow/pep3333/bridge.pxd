cimport cython

from ..http.request cimport Request
from ..http.response cimport ResponseHead, chunk

cdef class Exchange:
    cdef object _asked
    cdef object _client
    cdef str _date
    cdef object _files
    cdef object _left
    cdef bint _over
    cdef bint _hints
    cdef tuple _own_headers
    cdef str _method
    cdef bint _http11
    cdef ResponseHead _said
    cdef str _status
    cdef bint _switched
    cdef readonly bint close
    cdef readonly bint complete
    cdef readonly ResponseHead head
    cdef readonly Py_ssize_t sent_bytes
    cdef readonly str status

    cpdef switch(self, bytes answer)
    cpdef add_own(self, tuple lines)
    cpdef run(self, app, dict environ)
    cdef _send_blocks(self, blocks)
    cdef _send_file(self, blocks, dict environ)
    cdef _promised(self)
    cdef _send_whole(self, body)
    cpdef finish(self)
    cdef _send_promised(self, ResponseHead head, bytes prefix, bytes block)
    cdef _send_bare(self, ResponseHead head, bytes prefix)
    cdef _send(self, bytes prefix, bytes data, Py_ssize_t body_bytes)
    cdef _end(self, ResponseHead head)
    cdef ResponseHead _make_head(self, known_length)
