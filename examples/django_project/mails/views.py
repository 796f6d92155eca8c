"""The sign-up, which enqueues a mail when it is committed, and the state of that mail."""

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from examples.django_project.mails.tasks import welcome


@csrf_exempt
@transaction.atomic
def sign_up(request: HttpRequest) -> JsonResponse:
    """Sign up, and have a mail sent; if the transaction fails, no mail is sent."""
    result = welcome.enqueue(to=request.POST["to"])
    if request.POST.get("fail"):
        raise ValueError("the transaction fails")
    return JsonResponse({"id": result.id}, status=202)


def show(request: HttpRequest, result_id: str) -> JsonResponse:
    """Show the state of the mail."""
    result = welcome.get_result(result_id)
    return JsonResponse({"status": result.status, "sent": result.is_finished and result.return_value})
