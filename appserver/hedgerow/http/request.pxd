cdef class Request:
    cdef readonly str method
    cdef readonly str target
    cdef public str path
    cdef readonly bint http11
    cdef public bint keep_alive
    cdef readonly dict fields
    cdef public object framing
    cdef public Py_ssize_t length
    cdef public bint expects_continue
