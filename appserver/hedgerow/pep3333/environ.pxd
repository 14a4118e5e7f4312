cimport cython

from ..http.request cimport Request

@cython.locals(environ=dict)
cpdef dict build(Request request, str script_name, str path_info, str query, tuple peer)
