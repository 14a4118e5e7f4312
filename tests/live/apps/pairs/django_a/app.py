"""Is a Django project in one file."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(SECRET_KEY="django_a", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])  # noqa: S106  # no secret


urlpatterns = [path("", lambda request: HttpResponse(settings.SECRET_KEY))]
application = get_wsgi_application()
