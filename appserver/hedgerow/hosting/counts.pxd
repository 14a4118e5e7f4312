cdef double SHORT_S

cdef class Counts:
    cdef readonly list requests
    cdef readonly list durations
    cdef readonly dict refused
    cdef readonly dict moved
    cdef readonly long long aborted
    cdef readonly double duration_s
    cdef readonly long long bytes_in
    cdef readonly long long bytes_out
    cdef public long long deadlines
    cdef public long long blocks

    cpdef served(self, str status, bint complete, double seconds, Py_ssize_t bytes_in, Py_ssize_t bytes_out)
    cpdef turned_away(self, str cause, bint moved)
