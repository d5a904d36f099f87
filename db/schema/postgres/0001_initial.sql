-- The first schema. Times are milliseconds since 1970 (UTC); ids are 26 characters; JSON is kept as text,
-- because it is passed through to clients far more often than it is looked into.

CREATE TABLE systems (
    name  VARCHAR(64) PRIMARY KEY,
    value VARCHAR(1024) NOT NULL
);

CREATE TABLE users (
    id                   VARCHAR(26) PRIMARY KEY,
    create_at            BIGINT NOT NULL,
    update_at            BIGINT NOT NULL,
    delete_at            BIGINT NOT NULL DEFAULT 0,
    username             VARCHAR(64) NOT NULL,
    password             VARCHAR(255) NOT NULL,
    email                VARCHAR(128) NOT NULL,
    email_verified       BOOLEAN NOT NULL DEFAULT FALSE,
    nickname             VARCHAR(64) NOT NULL DEFAULT '',
    first_name           VARCHAR(64) NOT NULL DEFAULT '',
    last_name            VARCHAR(64) NOT NULL DEFAULT '',
    position             VARCHAR(128) NOT NULL DEFAULT '',
    roles                VARCHAR(256) NOT NULL,
    locale               VARCHAR(5) NOT NULL DEFAULT 'en',
    props                TEXT NOT NULL DEFAULT '{}',
    notify_props         TEXT NOT NULL DEFAULT '{}',
    timezone             TEXT NOT NULL DEFAULT '{}',
    last_password_update BIGINT NOT NULL DEFAULT 0,
    last_picture_update  BIGINT NOT NULL DEFAULT 0,
    failed_attempts      INTEGER NOT NULL DEFAULT 0,
    allow_marketing      BOOLEAN NOT NULL DEFAULT FALSE,
    CONSTRAINT users_username_key UNIQUE (username),
    CONSTRAINT users_email_key UNIQUE (email)
);

CREATE TABLE sessions (
    id               VARCHAR(26) PRIMARY KEY,
    token_hash       VARCHAR(64) NOT NULL,
    user_id          VARCHAR(26) NOT NULL,
    create_at        BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    last_activity_at BIGINT NOT NULL,
    device_id        VARCHAR(512) NOT NULL DEFAULT '',
    csrf_token       VARCHAR(26) NOT NULL,
    CONSTRAINT sessions_token_hash_key UNIQUE (token_hash)
);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE teams (
    id                    VARCHAR(26) PRIMARY KEY,
    create_at             BIGINT NOT NULL,
    update_at             BIGINT NOT NULL,
    delete_at             BIGINT NOT NULL DEFAULT 0,
    display_name          VARCHAR(64) NOT NULL,
    name                  VARCHAR(64) NOT NULL,
    description           VARCHAR(255) NOT NULL DEFAULT '',
    email                 VARCHAR(128) NOT NULL DEFAULT '',
    type                  VARCHAR(1) NOT NULL,
    company_name          VARCHAR(64) NOT NULL DEFAULT '',
    allowed_domains       VARCHAR(1000) NOT NULL DEFAULT '',
    invite_id             VARCHAR(32) NOT NULL,
    allow_open_invite     BOOLEAN NOT NULL DEFAULT FALSE,
    last_team_icon_update BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT teams_name_key UNIQUE (name),
    CONSTRAINT teams_invite_id_key UNIQUE (invite_id)
);

CREATE TABLE team_members (
    team_id      VARCHAR(26) NOT NULL,
    user_id      VARCHAR(26) NOT NULL,
    create_at    BIGINT NOT NULL,
    delete_at    BIGINT NOT NULL DEFAULT 0,
    roles        VARCHAR(256) NOT NULL DEFAULT '',
    scheme_user  BOOLEAN NOT NULL DEFAULT TRUE,
    scheme_admin BOOLEAN NOT NULL DEFAULT FALSE,
    scheme_guest BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (team_id, user_id)
);
CREATE INDEX team_members_user_id ON team_members (user_id);

CREATE TABLE channels (
    id              VARCHAR(26) PRIMARY KEY,
    create_at       BIGINT NOT NULL,
    update_at       BIGINT NOT NULL,
    delete_at       BIGINT NOT NULL DEFAULT 0,
    team_id         VARCHAR(26) NOT NULL DEFAULT '',
    type            VARCHAR(1) NOT NULL,
    display_name    VARCHAR(64) NOT NULL,
    name            VARCHAR(64) NOT NULL,
    header          VARCHAR(1024) NOT NULL DEFAULT '',
    purpose         VARCHAR(250) NOT NULL DEFAULT '',
    creator_id      VARCHAR(26) NOT NULL DEFAULT '',
    extra_update_at BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT channels_team_id_name_key UNIQUE (team_id, name)
);

-- The hot columns of a channel, apart from it, so that a post rewrites one narrow row and touches no index.
-- The row lock on it orders everything that happens in the channel (seq order = commit order).
CREATE TABLE channel_heads (
    channel_id           VARCHAR(26) PRIMARY KEY,
    seq                  BIGINT NOT NULL DEFAULT 0,
    last_post_at         BIGINT NOT NULL DEFAULT 0,
    last_update_at       BIGINT NOT NULL DEFAULT 0,
    total_msg_count      BIGINT NOT NULL DEFAULT 0,
    total_msg_count_root BIGINT NOT NULL DEFAULT 0,
    trimmed_seq          BIGINT NOT NULL DEFAULT 0,
    changed_xid          XID8 NOT NULL DEFAULT pg_current_xact_id()
) WITH (fillfactor = 50);

CREATE TABLE channel_members (
    channel_id     VARCHAR(26) NOT NULL,
    user_id        VARCHAR(26) NOT NULL,
    roles          VARCHAR(256) NOT NULL DEFAULT '',
    scheme_user    BOOLEAN NOT NULL DEFAULT TRUE,
    scheme_admin   BOOLEAN NOT NULL DEFAULT FALSE,
    scheme_guest   BOOLEAN NOT NULL DEFAULT FALSE,
    notify_props   TEXT NOT NULL DEFAULT '{}',
    last_update_at BIGINT NOT NULL,
    join_seq       BIGINT NOT NULL,
    viewed_seq     BIGINT NOT NULL,
    last_viewed_at BIGINT NOT NULL,
    msg_count      BIGINT NOT NULL,
    msg_count_root BIGINT NOT NULL,
    PRIMARY KEY (channel_id, user_id)
) WITH (fillfactor = 80);
CREATE INDEX channel_members_user_id ON channel_members (user_id);

CREATE TABLE posts (
    id              VARCHAR(26) PRIMARY KEY,
    channel_id      VARCHAR(26) NOT NULL,
    seq             BIGINT NOT NULL,
    create_at       BIGINT NOT NULL,
    update_at       BIGINT NOT NULL,
    edit_at         BIGINT NOT NULL DEFAULT 0,
    delete_at       BIGINT NOT NULL DEFAULT 0,
    is_pinned       BOOLEAN NOT NULL DEFAULT FALSE,
    user_id         VARCHAR(26) NOT NULL,
    root_id         VARCHAR(26) NOT NULL DEFAULT '',
    original_id     VARCHAR(26) NOT NULL DEFAULT '',
    message         TEXT NOT NULL,
    type            VARCHAR(26) NOT NULL DEFAULT '',
    props           TEXT NOT NULL DEFAULT '{}',
    hashtags        VARCHAR(1000) NOT NULL DEFAULT '',
    file_ids        TEXT NOT NULL DEFAULT '[]',
    mentions        TEXT NOT NULL DEFAULT '[]',
    pending_post_id VARCHAR(64),
    reply_count     BIGINT NOT NULL DEFAULT 0,
    last_reply_at   BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT posts_channel_id_seq_key UNIQUE (channel_id, seq),
    CONSTRAINT posts_user_id_pending_post_id_key UNIQUE (user_id, pending_post_id)
);
CREATE INDEX posts_channel_id_update_at ON posts (channel_id, update_at);
CREATE INDEX posts_root_id ON posts (root_id, seq) WHERE root_id <> '';

-- A narrow row for each recoverable change of a channel that is not a new post; shares the channel's seq.
CREATE TABLE channel_events (
    channel_id VARCHAR(26) NOT NULL,
    seq        BIGINT NOT NULL,
    create_at  BIGINT NOT NULL,
    kind       VARCHAR(32) NOT NULL,
    ref        VARCHAR(26) NOT NULL,
    payload    TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (channel_id, seq)
);
CREATE INDEX channel_events_create_at ON channel_events (create_at);

-- Mentions a user has not viewed yet: counted when read, so that a post never rewrites its readers' rows.
CREATE TABLE post_mentions (
    user_id    VARCHAR(26) NOT NULL,
    channel_id VARCHAR(26) NOT NULL,
    seq        BIGINT NOT NULL,
    is_root    BOOLEAN NOT NULL,
    PRIMARY KEY (user_id, channel_id, seq)
);

CREATE TABLE statuses (
    user_id          VARCHAR(26) PRIMARY KEY,
    status           VARCHAR(16) NOT NULL,
    manual           BOOLEAN NOT NULL DEFAULT FALSE,
    last_activity_at BIGINT NOT NULL DEFAULT 0,
    dnd_end_time     BIGINT NOT NULL DEFAULT 0,
    prev_status      VARCHAR(16) NOT NULL DEFAULT ''
) WITH (fillfactor = 80);

CREATE TABLE preferences (
    user_id  VARCHAR(26) NOT NULL,
    category VARCHAR(32) NOT NULL,
    name     VARCHAR(32) NOT NULL,
    value    VARCHAR(2000) NOT NULL DEFAULT '',
    PRIMARY KEY (user_id, category, name)
);
