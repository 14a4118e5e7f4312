cimport cython

from .request cimport Request

cdef dict _KEYS
cdef dict _LINES

@cython.locals(lines=list, fields=dict, line=str, pair=tuple, key=str, value=str, count=Py_ssize_t, index=Py_ssize_t)
cpdef Request parse_head(bytes head, dict template, Py_ssize_t max_target_bytes, Py_ssize_t max_headers)

@cython.locals(colon=Py_ssize_t, name=str, key=str, value=str)
cdef tuple _parse_line(str line)

cdef str _learn(str name)
cdef str _join(str key, str first, str second)

@cython.locals(method_end=Py_ssize_t, target_end=Py_ssize_t, method=str, target=str, version=str, http11=bint)
cdef Request _parse_request_line(str line, dict fields, Py_ssize_t max_target_bytes)

cdef bint _keep_alive(bint http11, str connection)

@cython.locals(fields=dict, target=str)
cdef _check(Request request)
