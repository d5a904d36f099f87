"""What a client asks, and what it is answered, one request after the other."""

from app import sessions
from app.errors import AppError
from app.events import messages as events
from db.model.errors import DatabaseError
from db.model.ids import SessionId, UserId
from ws import actions
from ws.entry import Entry, known
from ws.looking import Looking
from ws.protocol import Asked
from ws.serving import ClientT, Server

ACTIVITY_EVERY_S = 20.0


async def answer(server: Server[ClientT], client: ClientT, request: Asked) -> None:
    """Do what the client asks, and reply."""
    if request.action == "authentication_challenge":
        if not client.connection_id:
            await _challenge(server, client, request)
        return
    refusal = actions.router_error(request.seq, request.action, authenticated=bool(client.connection_id))
    if refusal is not None:
        client.reply(actions.fail(request.seq, refusal))
        return
    if not client.charge(actions.DEAR.get(request.action, 0.0)):
        return
    _note_activity(server, client, request.action)
    if request.action == actions.PRESENCE:
        client.looking = client.looking or Looking()
        client.reply(actions.presence(client.looking, request.seq, request.data))
        return
    session_id = SessionId(client.session_id)
    client.reply(await actions.run(server.ctx, session_id, request.seq, request.action, request.data))


async def _challenge(server: Server[ClientT], client: ClientT, request: Asked) -> None:
    """Who it is, and the connection that the upgrade asked for, or a new one."""
    token = request.data.get("token")
    if not isinstance(token, str):
        client.abort()
        return
    server.strangers.discard(client)  # it has spoken: whatever follows is for us to do
    try:
        actor = await sessions.authenticate(server.ctx, token)
    except (AppError, DatabaseError):
        client.abort()
        return
    entry, positions = Entry(server, client), known(request.data.get("positions"))
    await entry.begin(actor.session.id, actor.user_id, client.take_wanted(), known=positions)
    if client.connection_id:
        client.reply(actions.ok(request.seq))


def _note_activity(server: Server[ClientT], client: ClientT, action: str) -> None:
    now = server.loop.time()
    if action != "ping" and now - client.last_active >= ACTIVITY_EVERY_S:
        client.last_active = now
        server.ctx.bus.publish(events.active(UserId(client.user_id)))
