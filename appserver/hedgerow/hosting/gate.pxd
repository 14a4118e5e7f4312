cdef class Gate:
    cdef readonly Py_ssize_t limit
    cdef readonly Py_ssize_t room
    cdef readonly Py_ssize_t running
    cdef readonly Py_ssize_t refused
    cdef readonly Py_ssize_t left
    cdef readonly double wait_s
    cdef readonly object waiting
    cdef object _marks

    cpdef bint enter(self) except? -1
    cpdef leave(self)
