"""The URLs."""

from django.urls import path
from examples.django_project.mails import views

urlpatterns = [
    path("signups/", views.sign_up),
    path("signups/<str:result_id>/", views.show),
]
