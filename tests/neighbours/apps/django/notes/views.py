import about
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt

from .models import Note


def home(request):
    return render(request, "home.html")


def note(request):
    if request.method == "POST":
        Note.objects.create(text=request.POST["text"])
        request.session["count"] = request.session.get("count", 0) + 1
        return redirect("notes")
    return render(request, "notes.html", {"notes": Note.objects.order_by("-id")[:5]})


def has(request):
    return HttpResponse(str(Note.objects.filter(text=request.GET["text"]).count()))


@csrf_exempt
def upload(request):
    return HttpResponse(about.digest(request.FILES["file"].read()))


def stream(request):
    return StreamingHttpResponse(about.stream(), content_type="text/plain")


def tell(request):
    return JsonResponse(about.told("django"))


def error(request):
    raise RuntimeError("as it must")


def missing(request, exception):
    return HttpResponse("django does not have this", status=404)


def broken(request):
    return HttpResponse("django is sorry", status=500)
