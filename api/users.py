"""Accounts, log in, log out."""

from falcon.asgi import Request, Response

from api import auth, bodies, params, replies
from app import channels as channel_rules
from app import errors, logins, postlists, posts, sessions, teams, users
from app.context import Context
from app.events import wire
from app.permissions import viewer
from app.version import MATTERMOST_VERSION
from db.model import limits
from db.model.ids import ChannelId, UserId, is_id


class Users:
    """/users and what hangs below a user."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._auth = auth.Authenticator(ctx)

    async def on_post(self, req: Request, resp: Response) -> None:
        """POST /users: sign up."""
        actor = await self._auth.optional(req)
        new = await bodies.read(req, self._ctx, users.NewUser, "user")
        user = await users.create(
            self._ctx,
            actor,
            new,
            invite_id=params.text(req, "iid"),
            token=params.text(req, "t"),
            origin=self._auth.origin(req),
        )
        replies.send(resp, users.seen_by_self(self._ctx, user), 201)

    async def on_post_login(self, req: Request, resp: Response) -> None:
        """POST /users/login: the user, header Token, and cookies for those who ask by X-Requested-With."""
        await self._auth.optional(req)  # no foreign page makes somebody who is logged in somebody else
        body = await bodies.read(req, self._ctx, bodies.Login, "login")
        if len(body.device_id) > 512:
            raise errors.invalid_body("device_id")
        user, session, token = await logins.log_in(
            self._ctx,
            body.password,
            body.device_id,
            self._auth.origin(req),
            user_id=UserId(body.id),
            login_id=body.login_id,
        )
        if req.get_header("X-Requested-With") == "XMLHttpRequest":
            auth.set_cookies(self._ctx, req, resp, session, token)
        resp.set_header("Token", token)
        replies.send(resp, users.seen_by_self(self._ctx, user))

    async def on_post_logout(self, req: Request, resp: Response) -> None:
        """POST /users/logout: ends the session if there is one, and is OK if there is none."""
        actor = await self._auth.optional(req)
        if actor is not None:
            await sessions.log_out(self._ctx, actor)
        auth.clear_cookies(self._ctx, resp)
        replies.ok(resp)

    async def on_post_ids(self, req: Request, resp: Response) -> None:
        """POST /users/ids: users by id; what is unknown, or no id, is left out."""
        actor = await self._auth.actor(req)
        ids = await bodies.read(req, self._ctx, list[str], "user_ids")
        if not ids or len(ids) > limits.USER_IDS:
            raise errors.invalid_body("user_ids")
        wanted = [UserId(one) for one in ids if is_id(one)]
        found = await users.find_many(self._ctx, wanted, params.strict_number(req, "since") or 0)
        replies.send(resp, [users.seen_by(self._ctx, actor, user) for user in found])

    async def on_get_one(self, req: Request, resp: Response, user_id: str) -> None:
        """GET /users/{user_id}."""
        actor = await self._auth.actor(req)
        wanted = params.user_id(user_id, actor)
        user = actor.user if wanted == actor.user_id else await users.get(self._ctx, wanted)
        privacy = self._ctx.config.privacy_settings
        if not replies.not_modified(
            req,
            resp,
            MATTERMOST_VERSION,
            user.id,
            user.update_at,
            user.failed_attempts,
            privacy.show_full_name,
            privacy.show_email_address,
            viewer(actor, privacy).sees_all_of(user.id),
        ):
            replies.send(resp, users.seen_by(self._ctx, actor, user))

    async def on_get_by_name(self, req: Request, resp: Response, username: str) -> None:
        """GET /users/username/{username}."""
        actor = await self._auth.actor(req)
        user = await users.get_by_username(self._ctx, params.name(username, "username"))
        replies.send(resp, users.seen_by(self._ctx, actor, user))

    async def on_post_typing(self, req: Request, resp: Response, user_id: str) -> None:
        """POST /users/{user_id}/typing: the REST form of user_typing."""
        actor = await self._auth.actor(req)
        body = await bodies.read(req, self._ctx, bodies.Typing, "typing request")
        if not is_id(body.channel_id):
            raise errors.invalid_body("channel_id")
        if body.parent_id and not is_id(body.parent_id):
            raise errors.invalid_body("parent_id")
        wanted = params.user_id(user_id, actor)
        await users.require_self_or(self._ctx, actor, wanted, "manage_system")
        await channel_rules.tell_typing(self._ctx, actor, wanted, ChannelId(body.channel_id), body.parent_id)
        replies.ok(resp)

    async def on_get_teams(self, req: Request, resp: Response, user_id: str) -> None:
        """GET /users/{user_id}/teams."""
        actor = await self._auth.actor(req)
        wanted = params.user_id(user_id, actor)
        await users.require_self_or(self._ctx, actor, wanted, "manage_system")
        found = await teams.of_user(self._ctx, actor, wanted, params.page(req)[0])
        replies.send(resp, [teams.seen_by(actor, team, member) for team, member in found])

    async def on_get_channels(self, req: Request, resp: Response, user_id: str, team_id: str) -> None:
        """GET /users/{user_id}/teams/{team_id}/channels."""
        actor = await self._auth.actor(req)
        wanted, team = params.user_id(user_id, actor), params.team_id(team_id)
        await users.require_self_or(self._ctx, actor, wanted, "edit_other_users")
        await teams.require_view(self._ctx, actor, team)
        found = await channel_rules.of_user(
            self._ctx,
            wanted,
            team,
            include_deleted=params.flag(req, "include_deleted"),
            deleted_since_ms=params.strict_number(req, "last_delete_at") or 0,
            page=params.page(req)[0],
        )
        newest = max((max(channel.update_at, channel.last_post_at) for channel in found), default=0)
        if not replies.not_modified(
            req, resp, MATTERMOST_VERSION, wanted, newest, len(found), sum(channel.seq for channel in found)
        ):
            replies.send(resp, [wire.channel(channel) for channel in found])

    async def on_get_channel_members(self, req: Request, resp: Response, user_id: str, team_id: str) -> None:
        """GET /users/{user_id}/teams/{team_id}/channels/members: the user's memberships."""
        actor = await self._auth.actor(req)
        wanted, team = params.user_id(user_id, actor), params.team_id(team_id)
        await users.require_self_or(self._ctx, actor, wanted, "edit_other_users")
        await teams.require_view(self._ctx, actor, team)
        found = await channel_rules.memberships(self._ctx, wanted, team, params.page(req)[0])
        seen_by = viewer(actor, self._ctx.config.privacy_settings)
        replies.send(resp, [wire.channel_member(member, seen_by) for member in found])

    async def on_get_unread(self, req: Request, resp: Response, user_id: str, channel_id: str) -> None:
        """GET /users/{user_id}/channels/{channel_id}/posts/unread."""
        actor = await self._auth.actor(req)
        wanted, channel = params.user_id(user_id, actor), params.channel_id(channel_id)
        await users.require_self_or(self._ctx, actor, wanted, "edit_other_users")
        threads = params.threads(req)
        access = await posts.readable(self._ctx, actor, channel, deleted=threads.deleted)
        limit_before = params.number(req, "limit_before", params.DEFAULT_PAGE_SIZE, most=params.MAX_PAGE_SIZE)
        limit_after = params.number(req, "limit_after", params.DEFAULT_PAGE_SIZE, most=params.MAX_PAGE_SIZE)
        if limit_after == 0:
            raise errors.invalid_url("limit_after")
        found = await postlists.around_unread(
            self._ctx.db,
            wanted,
            access.channel.id,
            limit_before=limit_before,
            limit_after=limit_after,
            threads=threads,
        )
        replies.send(resp, found.json())
