cimport cython

from ..http.reader cimport RequestReader


cdef class Transfer:
    cdef bint _begun
    cdef double _body_until
    cdef bint _eof
    cdef int _expects
    cdef object _farewell
    cdef object _hub
    cdef bint _keep
    cdef bint _paused
    cdef double _read_until
    cdef object _reading
    cdef object _sock
    cdef bint _torn
    cdef object _unread
    cdef object _watch_end
    cdef object _watcher
    cdef double _write_until
    cdef object _writing
    cdef public object answering
    cdef public object job
    cdef readonly bint closed
    cdef readonly tuple peer
    cdef readonly RequestReader reader
    cdef readonly object server
    cdef public double until

    cpdef bint waits(self) except? -1
    cpdef watch_end(self, callback)
    cpdef send(self, bytes data, bint interim=*)
    cdef _resume(self)
    cdef _wake(self)
    cdef _end_reading(self)
    cdef _end_waits(self, double now)
    cpdef send_both(self, bytes head, bytes body)
    cdef _begin(self)
    cdef _send(self, bytes data, bytes more)
    cdef _send_rest(self, data)
    cpdef receive(self, double idle_s)
    cpdef hand_over(self, farewell=*)
    cpdef end_sending(self)
    cdef _wait_to_read(self, double until)
    cdef _body_error(self, int status, str reason)
    cdef _invite(self)
