cimport cython

from ..hosting.mounts cimport Mounts, Route
from ..http.request cimport Request
from .connection cimport Connection
from .job cimport Job, Target

cdef class Router:
    cdef object _host
    cdef object _settings
    cdef Mounts _mounts
    cdef bint _trust_front
    cdef object _absent
    cdef Mounts _failed
    cdef bint _show_errors
    cdef object _apps
    cdef Target _pages
    cdef dict _counts
    cdef dict _targets
    cdef dict _behind
    cdef bint _is_behind
    cdef readonly dict splits

    cpdef bint look(self) except? -1
    cpdef Route route(self, str raw_path, str host)
    @cython.locals(route=Route, fields=dict)
    cdef _aim(self, Job job, str step)
    @cython.locals(fields=dict)
    cdef _take(self, Job job, str name, str mount, str peer)
    @cython.locals(target=Target, fields=dict, side=object, clients=object)
    cdef _enter(self, Job job, Route route)
    cdef bint _may_enter(self, Job job, Target target) except? -1
    cdef _client(self, Job job)
    cdef _show_instead(self, Job job, str cause, page)
    cdef _show(self, Job job, page, double after_s=*)
    cdef _target(self, app)
