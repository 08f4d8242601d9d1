"""Which path is whose."""

from django.contrib import admin
from django.urls import path

from apps.library import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("documents/<int:pk>", views.document),
    path("titles", views.titles),
    path("page", views.page),
]
