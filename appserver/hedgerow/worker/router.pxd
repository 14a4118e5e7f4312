cimport cython

from ..hosting.mounts cimport Mounts, Route
from ..http.request cimport Request
from .connection cimport Connection
from .job cimport Job, Target

cdef class Router:
    cdef object _host
    cdef Mounts _mounts
    cdef bint _trust_front
    cdef object _absent
    cdef Mounts _failed
    cdef bint _show_errors
    cdef object _apps
    cdef Target _pages
    cdef dict _targets

    cpdef bint look(self) except? -1
    cpdef Route route(self, str raw_path, str host)
    @cython.locals(route=Route, target=Target, fields=dict)
    cdef _aim(self, Job job, str turn)
    cdef _refuse(self, Job job, str turn, refusal)
    cdef _show(self, Job job, page, double after_s=*)
    cdef _target(self, app)
