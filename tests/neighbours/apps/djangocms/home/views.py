import about
import notes
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt


def note(request):
    if request.method == "POST":
        notes.add(request.POST["text"])
        request.session["count"] = request.session.get("count", 0) + 1
        return redirect("notes")
    return render(request, "notes.html", {"notes": notes.latest(), "count": request.session.get("count", 0)})


def has(request):
    return HttpResponse(str(notes.has(request.GET["text"])))


@csrf_exempt
def upload(request):
    return HttpResponse(about.digest(request.FILES["file"].read()))


def stream(request):
    return StreamingHttpResponse(about.stream(), content_type="text/plain")


def tell(request):
    return JsonResponse(about.told("django-cms"))


def error(request):
    raise RuntimeError("as it must")


def missing(request, exception):
    return HttpResponse("djangocms does not have this", status=404)


def broken(request):
    return HttpResponse("djangocms is sorry", status=500)
