import asyncio

import about
import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, JsonResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of the async one")  # noqa: S106
django.setup()


async def home(request):
    await asyncio.sleep(0.2)
    return HttpResponse("async django")


async def tell(request):
    return JsonResponse(about.told("django"))


urlpatterns = [path("", home), path("about", tell)]
application = WSGIHandler()
