from cms.api import create_page
from cms.models import Page
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import transaction


class Command(BaseCommand):
    help = "The database, and the first page in it."

    def handle(self, *args, **options):
        call_command("migrate", verbosity=0)
        with transaction.atomic():
            if not Page.objects.exists():
                create_page("djangocms", "home.html", "en").set_as_homepage()
