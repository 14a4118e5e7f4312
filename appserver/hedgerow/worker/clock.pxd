cimport cython

cdef long long _date_second
cdef str _date
cdef tuple _stamp

@cython.locals(second=cython.longlong)
cpdef str http_date()

@cython.locals(now=double, second=cython.longlong, milliseconds=int, stamp=tuple)
cpdef str timestamp()
