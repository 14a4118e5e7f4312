cdef class LogQueue:
    cdef public Py_ssize_t dropped
    cdef int _fd
    cdef Py_ssize_t _limit
    cdef object _lines
    cdef Py_ssize_t _gap
    cdef Py_ssize_t _put_chars
    cdef Py_ssize_t _written_chars
    cdef bint _asleep
    cdef bint _writing
    cdef bint _forked
    cdef object _wake

    cpdef put(self, str line)
    cdef _append(self, str line)
