from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import include, path, re_path
from home import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("notes", views.note, name="notes"),
    path("has", views.has),
    path("upload", views.upload),
    path("stream", views.stream),
    path("about", views.tell),
    path("error", views.error),
    re_path("^static/(?P<path>.*)$", serve, {"insecure": True}),
    path("", include("cms.urls")),
]
handler404 = "home.views.missing"
handler500 = "home.views.broken"
