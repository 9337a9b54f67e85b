"""Routing as a Python team would write it: inline in the webhook, state in Redis, timers in asyncio."""

import asyncio
import hashlib
import hmac
import json
import logging
import os
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import redis.asyncio as redis
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect

CAPACITY = int(os.environ["CAPACITY"])
IDLE = int(os.environ["IDLE_MS"]) / 1000
GRACE = int(os.environ["GRACE_MS"]) / 1000
SECRET = os.environ["WEBHOOK_SECRET"].encode()
EIGHT_DAYS = 8 * 24 * 3600
BODY_MAX = 4 * 1024 * 1024

log = logging.getLogger("peer")
store = redis.Redis(host="127.0.0.1", port=int(os.environ["REDIS_PORT"]), decode_responses=True)
provider = httpx.AsyncClient(
    base_url=os.environ["PROVIDER_URL"], headers={"d360-api-key": os.environ["PROVIDER_KEY"]}
)
LUA = Path(__file__).parent.parent / "lua"
take, free, following = (
    store.register_script((LUA / f"{name}.lua").read_text()) for name in ("take", "free", "next")
)


@asynccontextmanager
async def lifespan(_: FastAPI):
    # Whoever was online when the last run ended is not any more.
    await store.delete("online")
    yield


app = FastAPI(lifespan=lifespan)

# --- agents

sockets: dict[str, WebSocket] = {}


async def tell(agent: str, frame: dict) -> None:
    socket = sockets.get(agent)
    if socket is None:
        return
    try:
        await socket.send_json(frame)
    except (RuntimeError, WebSocketDisconnect):
        pass  # The receiving half notices and takes the agent offline.


async def serve_waiting() -> None:
    while found := await following(args=[CAPACITY]):
        visitor, agent, room = found
        messages = [json.loads(message) for message in room]
        await tell(agent, {"type": "assigned", "visitor": visitor, "messages": messages})
        silence(visitor)


async def welcome(agent: str, socket: WebSocket) -> None:
    sockets[agent] = socket
    async with store.pipeline() as together:
        await together.zadd("load", {agent: 0}, nx=True).sadd("online", agent).execute()
    enquiries = []
    for visitor in await store.smembers(f"holds:{agent}"):
        room = await store.lrange(f"room:{visitor}", 0, -1)
        enquiries.append({"visitor": visitor, "messages": [json.loads(one) for one in room]})
    await socket.send_json({"type": "welcome", "enquiries": enquiries})
    await serve_waiting()


async def command(agent: str, frame: dict) -> None:
    kind, visitor = frame.get("type"), frame.get("visitor")
    if kind not in ("reply", "close") or await store.get(f"enquiry:{visitor}") != agent:
        return
    if kind == "close":
        await end(visitor)
    else:
        await send(visitor, frame["text"])
        silence(visitor)


async def end(visitor: str) -> None:
    stop(visitor)
    agent = await free(args=[visitor])
    if agent:
        await tell(agent, {"type": "closed", "visitor": visitor})
    await serve_waiting()


@app.websocket("/agent")
async def agent_socket(socket: WebSocket) -> None:
    await socket.accept()
    agent = None
    try:
        hello = await socket.receive_json()
        if hello.get("type") != "hello" or hello.get("token") != os.environ["AGENT_TOKEN"]:
            return await socket.close(4001)
        agent = hello["agent"]
        await welcome(agent, socket)
        while True:
            await command(agent, await socket.receive_json())
    except WebSocketDisconnect:
        pass
    finally:
        if agent is not None and sockets.get(agent) is socket:
            del sockets[agent]
            await store.srem("online", agent)


# --- the visitor's side


async def send(visitor: str, body: str) -> None:
    message = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": visitor,
        "type": "text",
        "text": {"body": body},
    }
    answer = await provider.post("/messages", json=message)
    if answer.is_error:
        log.error("the provider answered %s", answer.status_code)


async def received(message: dict) -> None:
    if not await store.set(f"seen:{message['id']}", 1, ex=EIGHT_DAYS, nx=True):
        return
    visitor = message["from"]
    text = message.get("text", {}).get("body", f"[{message.get('type')}]")
    kept = {"id": message["id"], "text": text}
    agent, assigned = await take(args=[visitor, json.dumps(kept), CAPACITY])
    if agent == "":
        return
    if assigned:
        await tell(agent, {"type": "assigned", "visitor": visitor, "messages": [kept]})
    else:
        await tell(agent, {"type": "message", "visitor": visitor, "message": kept})
    silence(visitor)


# --- silence: a notification, then the closure

timers: dict[str, asyncio.Task] = {}


def stop(visitor: str) -> None:
    timer = timers.pop(visitor, None)
    # The closure itself runs in the timer, which must not end itself.
    if timer is not None and timer is not asyncio.current_task():
        timer.cancel()


def silence(visitor: str) -> None:
    stop(visitor)
    timers[visitor] = asyncio.create_task(silent(visitor))


async def silent(visitor: str) -> None:
    await asyncio.sleep(IDLE)
    await send(visitor, "Still there?")
    await asyncio.sleep(GRACE)
    await send(visitor, "Goodbye.")
    await end(visitor)


# --- doors


def is_signed(body: bytes, header: str) -> bool:
    expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, header.removeprefix("sha256="))


@app.get("/health")
async def health() -> Response:
    return Response()


@app.post("/webhook")
async def webhook(request: Request) -> Response:
    body = await request.body()
    if len(body) > BODY_MAX:
        return Response(status_code=413)
    if not is_signed(body, request.headers.get("x-360dialog-signature", "")):
        return Response(status_code=401)
    for entry in json.loads(body).get("entry", []):
        for change in entry.get("changes", []):
            for message in change.get("value", {}).get("messages", []):
                await received(message)
    return Response()
