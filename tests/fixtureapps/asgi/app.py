"""Speaks ASGI, which is not what is spoken here."""


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
