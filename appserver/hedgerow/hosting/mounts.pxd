cimport cython

cdef class Route:
    cdef readonly object app
    cdef readonly str script_name
    cdef readonly str path_info_raw

    cpdef redirect(self, str method, str query)

cdef class _Tree:
    cdef readonly dict by_path
    cdef readonly dict depths

    @cython.locals(end=Py_ssize_t, depth=Py_ssize_t, first=str, cuts=list, cut=str)
    cdef Route find(self, str raw)
    cdef Route _find_spelled_otherwise(self, str raw)

cdef class Mounts:
    cdef readonly dict conflicts
    cdef _Tree _any
    cdef dict _hosts

    @cython.locals(tree=_Tree, route=Route)
    cpdef Route route(self, str raw_path, str host)

cpdef str decode(str raw)
