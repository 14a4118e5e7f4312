from django.contrib.staticfiles.views import serve
from django.urls import path, re_path
from notes import views

urlpatterns = [
    path("", views.home),
    path("notes", views.note, name="notes"),
    path("has", views.has),
    path("upload", views.upload),
    path("stream", views.stream),
    path("about", views.tell),
    path("error", views.error),
    re_path("^static/(?P<path>.*)$", serve, {"insecure": True}),
]
handler404 = "notes.views.missing"
handler500 = "notes.views.broken"
