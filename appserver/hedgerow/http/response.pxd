cimport cython

cdef dict _FIELDS
cdef dict _STATUSES
cdef int _PLAIN
cdef int _DROPPED
cdef int _LENGTH
cdef int _DATE
cdef int _SERVER
cdef int _ID
cdef int _REDIRECT
cdef int _USUAL

cdef class ResponseHead:
    cdef readonly str _text
    cdef bint _has_date
    cdef bint _has_server
    cdef bint _has_id
    cdef int _kind
    cdef readonly bint close
    cdef readonly tuple dropped
    cdef readonly object framing
    cdef readonly bytes head
    cdef readonly object length
    cdef readonly str redirect

    cpdef settle(
        self, str method, bint http11, bint keep_alive, str date, known_length=*, tuple own_headers=*
    )
    cpdef bint is_event_stream(self) except? -1
    cdef _take_redirect(self, object name, str value)
    cdef _take_length(self, str value)
    cdef _settle_bodyless(self, known_length)

cpdef bytes chunk(bytes block)
