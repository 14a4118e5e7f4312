cdef class Gate:
    cdef readonly Py_ssize_t limit
    cdef readonly Py_ssize_t running
    cdef readonly Py_ssize_t refused

    cpdef bint enter(self) except? -1
    cpdef leave(self)
