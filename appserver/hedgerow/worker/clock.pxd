cimport cython

cdef long long _date_second
cdef str _date
cdef long long _stamp_second
cdef str _stamp

@cython.locals(second=cython.longlong)
cpdef str http_date()

@cython.locals(now=double, second=cython.longlong, milliseconds=int)
cpdef str timestamp()
