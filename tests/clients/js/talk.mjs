// Two people talk by Mattermost's own JavaScript client: ann with a token, as bots do, and bob with cookies, as a browser.
//
//     node talk.mjs http://127.0.0.1:8065
//
// Prints a JSON line for each step: {"step": ..., facts}. The first thing that is not as it should be ends it with
// status 1 and says why on stderr, where the libraries' own messages go too.

import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';

import mattermost from '@mattermost/client';
import WebSocket from 'ws';

const {Client4, ClientError, WebSocketClient} = mattermost;

const PASSWORD = 'Passw0rd!';
const STEP_MS = 10_000;
const RECONNECT_MS = 15_000; // the client waits 3 to 5 s before it tries again
const ALL_MS = 60_000;

console.log = console.error; // the client logs there; stdout is for our lines

// Sockets are made by the client's option newWebSocketFn, but it compares their state with this constant, and it makes
// such an event where it closes a socket itself. Browsers have both.
globalThis.WebSocket ??= WebSocket;
globalThis.CloseEvent ??= class CloseEvent extends Event {
    constructor(type, {code}) {
        super(type);
        this.code = code;
    }
};

function tell(step, facts) {
    process.stdout.write(JSON.stringify({step, ...facts}) + '\n');
}

async function until(what, condition, timeoutMs = STEP_MS) {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
        const value = condition();
        if (value) {
            return value;
        }
        if (Date.now() >= deadline) {
            throw new Error(`${what} did not come true within ${timeoutMs} ms`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

// The status with which the server refuses a call.
async function refusal(call) {
    try {
        await call();
    } catch (error) {
        if (error instanceof ClientError) {
            return error.status_code;
        }
        throw error;
    }
    throw new Error('the call was not refused');
}

class Person {
    constructor(url, name) {
        this.name = name + randomBytes(6).toString('hex');
        this.rest = new Client4();
        this.rest.setUrl(url);
        this.client = null;
        this.sockets = []; // one for each connection, the last is the present one
        this.events = [];
        this.heard = {firstConnect: 0, reconnect: 0, missed: 0, close: 0};
        this.typed = 0;
    }

    async signUp() {
        const email = `${this.name}@example.com`;
        this.user = await this.rest.createUser({username: this.name, email, password: PASSWORD}, '', '');
        return this.user;
    }

    async logIn() {
        const user = await this.rest.login(this.name, PASSWORD);
        assert.equal(user.id, this.user.id);
        return this.rest.getMe();
    }

    // Opens the socket and waits until the server has said hello.
    async connect() {
        this.client = new WebSocketClient({newWebSocketFn: (url) => this.open(url)});
        this.client.addMessageListener((event) => this.events.push(event));
        this.client.addFirstConnectListener(() => this.heard.firstConnect++);
        this.client.addReconnectListener(() => this.heard.reconnect++);
        this.client.addMissedMessageListener(() => this.heard.missed++);
        this.client.addCloseListener(() => this.heard.close++);
        this.client.initialize(this.rest.getWebSocketUrl().replace(/^http/, 'ws'), this.challengeToken());
        await until(`a hello to ${this.name}`, () => this.named('hello').length > 0);
        return this.client.connectionId;
    }

    open(url) {
        const socket = new WebSocket(url, this.handshake());
        socket.closeCode = null;
        socket.on('close', (code) => (socket.closeCode = code));
        this.sockets.push(socket);
        return socket;
    }

    get socket() {
        return this.sockets.at(-1);
    }

    named(name) {
        return this.events.filter((event) => event.event === name);
    }

    // The events `posted` of a post.
    posted(post) {
        return this.named('posted').filter((event) => JSON.parse(event.data.post).id === post.id);
    }

    async expectPosted(post) {
        await until(`${post.message} at ${this.name}`, () => this.posted(post).length > 0);
        return this.posted(post)[0];
    }

    async post(channel, message) {
        const pending = `${this.user.id}:${this.typed++}`;
        return this.rest.createPost({channel_id: channel.id, message, pending_post_id: pending});
    }

    // The server's answer to a request over the socket: it comes after all that was sent before.
    async ask(request) {
        let answer = null;
        request((message) => (answer = message));
        return until(`an answer to ${this.name}`, () => answer);
    }

    // Ends the connection as a broken network does: without a close frame.
    cut() {
        this.socket.terminate();
    }

    // Waits until the client, by itself, is connected and known to the server again; how it took it.
    async reconnected(before) {
        await until(`a reconnect of ${this.name}`, () => this.heard.reconnect > before.reconnect, RECONNECT_MS);
        assert.equal((await this.ask((callback) => this.client.ping(callback))).status, 'OK');
        return {
            resumed: this.client.connectionId === before.connectionId,
            reconnects: this.heard.reconnect - before.reconnect,
            closes: this.heard.close - before.close,
            missed: this.heard.missed - before.missed,
            hellos: this.named('hello').length - before.hellos,
        };
    }

    now() {
        return {...this.heard, connectionId: this.client.connectionId, hellos: this.named('hello').length};
    }

    async logOut() {
        const socket = this.socket;
        const credentials = this.credentials();
        await this.rest.logout();
        this.restore(credentials); // the client has forgotten them, the point is that the server has
        const status = await refusal(() => this.rest.getMe());
        const closeCode = await until(`the end of the socket of ${this.name}`, () => socket.closeCode);
        this.client.close(); // or it would try again and again
        return {rest: status, close_code: closeCode};
    }
}

// With a token: in the header of REST calls, and in the authentication challenge over the socket.
class Bot extends Person {
    handshake() {
        return {};
    }

    challengeToken() {
        return this.rest.getToken();
    }

    credentials() {
        return this.rest.getToken();
    }

    restore(token) {
        this.rest.setToken(token);
    }
}

// With cookies, which Node.js neither keeps nor sends by itself; as the web app, it sends no token beside them.
class Browser extends Person {
    constructor(url, name) {
        super(url, name);
        this.origin = url;
        this.cookies = new Map();
        this.rest.setAuthHeader = false;
        const fetch = this.rest.doFetchWithResponse;
        this.rest.doFetchWithResponse = async (...request) => {
            const result = await fetch(...request);
            this.keep(result.response.headers.getSetCookie());
            return result;
        };
    }

    keep(setCookies) {
        for (const line of setCookies) {
            const [name, value] = line.split(';')[0].split('=');
            this.cookies.set(name, value);
        }
        this.restore(this.cookies);
    }

    cookieHeader() {
        return [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    }

    handshake() {
        return {origin: this.origin, headers: {Cookie: this.cookieHeader()}};
    }

    challengeToken() {
        return undefined;
    }

    credentials() {
        return new Map(this.cookies);
    }

    restore(cookies) {
        this.cookies = cookies;
        this.rest.setHeader('Cookie', this.cookieHeader());
        this.rest.setCSRF(cookies.get('MMCSRF') ?? '');
    }
}

async function talk(url) {
    const ann = new Bot(url, 'ann');
    const bob = new Browser(url, 'bob');

    const users = [await ann.signUp(), await bob.signUp()];
    tell('sign_up', {names: [ann.name, bob.name], users});

    const own = [await ann.logIn(), await bob.logIn()];
    tell('log_in', {users: own, token: ann.rest.getToken(), cookies: [...bob.cookies.keys()].sort()});

    const ids = [await ann.connect(), await bob.connect()];
    tell('connect', {connection_ids: ids, first_connects: [ann.heard.firstConnect, bob.heard.firstConnect]});

    const name = 'team' + randomBytes(6).toString('hex');
    const team = await ann.rest.createTeam({name, display_name: 'Team', type: 'O'});
    const member = await ann.rest.addToTeam(team.id, bob.user.id);
    tell('team', {team, member});

    const channel = await ann.rest.createChannel({team_id: team.id, name: 'talk', display_name: 'Talk', type: 'O'});
    const channelMember = await ann.rest.addToChannel(bob.user.id, channel.id);
    tell('channel', {channel, member: channelMember});

    const post = await ann.post(channel, 'hello');
    tell('post', {post});

    const list = await bob.rest.getPosts(channel.id);
    tell('read_back', {order: list.order, post: list.posts[post.id]});

    const event = await bob.expectPosted(post);
    tell('posted', {data: event.data, broadcast: event.broadcast, post: JSON.parse(event.data.post)});

    const answer = await ann.ask((callback) => ann.client.userTyping(channel.id, '', callback));
    const typing = await until('typing at bob', () => bob.named('typing')[0]);
    tell('typing', {answer, data: typing.data});

    // The client sends this header with every request, and by default it would do instead of the CSRF token.
    bob.rest.setHeader('X-Requested-With', 'nothing');
    const reply = await bob.post(channel, 'by the cookie and the CSRF token alone');
    await ann.expectPosted(reply);
    tell('reply', {post: reply});

    const before = [ann.now(), bob.now()];
    ann.cut();
    bob.cut();
    const lost = await ann.post(channel, 'while nobody hears');
    const [annAgain, bobAgain] = await Promise.all([ann.reconnected(before[0]), bob.reconnected(before[1])]);
    if (!bobAgain.resumed) { // so the client has been told that it missed something, and reads it anew
        assert.ok((await bob.rest.getPosts(channel.id)).order.includes(lost.id));
    }
    tell('reconnect', {ann: annAgain, bob: bobAgain});

    const after = await ann.post(channel, 'after the reconnect');
    const last = await ann.post(channel, 'last');
    await bob.expectPosted(last);
    await ann.expectPosted(last);
    tell('posted_again', {ann: ann.posted(after).length, bob: bob.posted(after).length});

    await ann.ask((callback) => ann.client.userTyping(channel.id, '', callback));
    await until('typing at bob after the reconnect', () => bob.named('typing').length > 1);

    const out = await bob.logOut();
    const still = await ann.ask((callback) => ann.client.ping(callback));
    tell('log_out_by_cookie', {...out, other: still.status});
    tell('log_out_by_token', await ann.logOut());

    tell('end', {
        sockets: [ann.sockets.length, bob.sockets.length],
        posted: [post, reply, after, last].map((one) => [ann.posted(one).length, bob.posted(one).length]),
        lost: bob.posted(lost).length,
        typing: [ann.named('typing').length, bob.named('typing').length],
    });
}

const watchdog = setTimeout(() => {
    console.error(`not done within ${ALL_MS} ms`);
    process.exit(1);
}, ALL_MS);

try {
    assert.equal(process.argv.length, 3, "usage: node talk.mjs URL");
    await talk(process.argv[2]);
} catch (error) {
    console.error(error);
    process.exit(1);
}
clearTimeout(watchdog);
