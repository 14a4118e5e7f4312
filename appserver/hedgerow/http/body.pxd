cimport cython

cdef class LengthDecoder:
    cdef readonly bint done
    cdef readonly Py_ssize_t left

cdef class ChunkedDecoder:
    cdef readonly bint done
    cdef public object max_bytes
    cdef bint _end_of_chunk
    cdef bint _in_trailers
    cdef Py_ssize_t _extension_bytes
    cdef Py_ssize_t _left
    cdef object _seen
    cdef Py_ssize_t _trailer_bytes

    @cython.locals(blocks=list, position=Py_ssize_t, block=bytes, end=Py_ssize_t)
    cpdef tuple decode(self, bytes data)
    @cython.locals(end=Py_ssize_t, limit=Py_ssize_t)
    cdef Py_ssize_t _find_line_end(self, bytes data, Py_ssize_t start) except? -2
    cdef _take_line(self, bytes line)
    cdef _take_chunk_head(self, bytes line)
    cdef _take_trailer(self, bytes line)
