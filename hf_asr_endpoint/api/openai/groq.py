"""What Groq's SDKs need beyond OpenAI's bodies: `x_groq`, without which @ai-sdk/groq refuses an answer.

Groq's clients have "groq" in their User-Agent ("ai-sdk/groq/…", "Groq/Python …", "Groq/JS …"), and the paths of
Groq's own API begin with /openai. Others get OpenAI's bodies as they are.
"""

from __future__ import annotations

from starlette.requests import Request

from hf_asr_endpoint.api.responses import Body

PATH = "/openai/"


def mark_for_groq(body: Body, request: Request) -> Body:
    """Return the body, with the id of the request if it is an object and Groq's client asks."""
    if isinstance(body, str) or not _is_groq(request):
        return body
    return {**body, "x_groq": {"id": f"req_{request.state.request_id}"}}


def _is_groq(request: Request) -> bool:
    return request.url.path.startswith(PATH) or "groq" in request.headers.get("user-agent", "").lower()
