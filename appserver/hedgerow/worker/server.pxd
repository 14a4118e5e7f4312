from ..http.request cimport Request
from .access cimport AccessLog
from .connection cimport Connection
from .job cimport Job

cdef class Server:
    cdef readonly object hub
    cdef readonly object log
    cdef readonly object listener
    cdef readonly dict environ
    cdef readonly object settings
    cdef readonly bint behind
    cdef public bint draining
    cdef public AccessLog access
    cdef readonly set connections
    cdef object _router
    cdef object _acceptor
    cdef object _sweeper
    cdef readonly object lag
    cdef str _id_prefix
    cdef unsigned long long _last_id

    cpdef start(self, Connection connection, Request request)
    cpdef str new_request_id(self)
