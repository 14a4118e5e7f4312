cimport cython

from ..http.request cimport Request
from ..pep3333.bridge cimport Exchange
from ..pep3333.environ cimport build
from .access cimport AccessLog
from .clock cimport http_date
from .connection cimport Connection
from .job cimport Job, Target

@cython.locals(free=list)
cpdef bint take_turn(runner, Job job, AccessLog access) except? -1

@cython.locals(connection=Connection, request=Request, target=Target, exchange=Exchange, environ=dict, started=double,
               complete=bint)
cdef _serve(Job job, AccessLog access)

cdef _body(Connection connection, Request request, client)
