-- The first schema: the tables, columns and names of PostgreSQL's. Times are milliseconds since 1970 (UTC).
--
-- Each statement must be harmless when it is run again: a runner may be killed between it and its record.
-- {collation} is the server's collation that compares texts exactly, as PostgreSQL does, trailing spaces included:
-- utf8mb4_nopad_bin (MariaDB) or utf8mb4_0900_bin (MySQL). TINYINT (BOOLEAN) is for booleans only.

CREATE TABLE IF NOT EXISTS systems (
    name  VARCHAR(64) PRIMARY KEY,
    value VARCHAR(1024) NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TABLE IF NOT EXISTS users (
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
    props                MEDIUMTEXT NOT NULL DEFAULT ('{}'),
    notify_props         MEDIUMTEXT NOT NULL DEFAULT ('{}'),
    timezone             MEDIUMTEXT NOT NULL DEFAULT ('{}'),
    last_password_update BIGINT NOT NULL DEFAULT 0,
    last_picture_update  BIGINT NOT NULL DEFAULT 0,
    failed_attempts      INTEGER NOT NULL DEFAULT 0,
    allow_marketing      BOOLEAN NOT NULL DEFAULT FALSE,
    UNIQUE KEY users_username_key (username),
    UNIQUE KEY users_email_key (email)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TABLE IF NOT EXISTS sessions (
    id               VARCHAR(26) PRIMARY KEY,
    token_hash       VARCHAR(64) NOT NULL,
    user_id          VARCHAR(26) NOT NULL,
    create_at        BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    last_activity_at BIGINT NOT NULL,
    device_id        VARCHAR(512) NOT NULL DEFAULT '',
    csrf_token       VARCHAR(26) NOT NULL,
    UNIQUE KEY sessions_token_hash_key (token_hash),
    KEY sessions_user_id (user_id),
    KEY sessions_expires_at (expires_at)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TABLE IF NOT EXISTS teams (
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
    UNIQUE KEY teams_name_key (name),
    UNIQUE KEY teams_invite_id_key (invite_id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TABLE IF NOT EXISTS team_members (
    team_id      VARCHAR(26) NOT NULL,
    user_id      VARCHAR(26) NOT NULL,
    create_at    BIGINT NOT NULL,
    delete_at    BIGINT NOT NULL DEFAULT 0,
    roles        VARCHAR(256) NOT NULL DEFAULT '',
    scheme_user  BOOLEAN NOT NULL DEFAULT TRUE,
    scheme_admin BOOLEAN NOT NULL DEFAULT FALSE,
    scheme_guest BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (team_id, user_id),
    KEY team_members_user_id (user_id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TABLE IF NOT EXISTS channels (
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
    UNIQUE KEY channels_team_id_name_key (team_id, name)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

-- The hot columns of a channel, apart from it, so that a post rewrites one narrow row and touches no index.
-- The row lock on it orders everything that happens in the channel (seq order = commit order).
CREATE TABLE IF NOT EXISTS channel_heads (
    channel_id           VARCHAR(26) PRIMARY KEY,
    seq                  BIGINT NOT NULL DEFAULT 0,
    last_post_at         BIGINT NOT NULL DEFAULT 0,
    last_update_at       BIGINT NOT NULL DEFAULT 0,
    total_msg_count      BIGINT NOT NULL DEFAULT 0,
    total_msg_count_root BIGINT NOT NULL DEFAULT 0,
    trimmed_seq          BIGINT NOT NULL DEFAULT 0,
    changed_at           BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TABLE IF NOT EXISTS channel_members (
    channel_id     VARCHAR(26) NOT NULL,
    user_id        VARCHAR(26) NOT NULL,
    roles          VARCHAR(256) NOT NULL DEFAULT '',
    scheme_user    BOOLEAN NOT NULL DEFAULT TRUE,
    scheme_admin   BOOLEAN NOT NULL DEFAULT FALSE,
    scheme_guest   BOOLEAN NOT NULL DEFAULT FALSE,
    notify_props   MEDIUMTEXT NOT NULL DEFAULT ('{}'),
    last_update_at BIGINT NOT NULL,
    join_seq       BIGINT NOT NULL,
    viewed_seq     BIGINT NOT NULL,
    last_viewed_at BIGINT NOT NULL,
    msg_count      BIGINT NOT NULL,
    msg_count_root BIGINT NOT NULL,
    PRIMARY KEY (channel_id, user_id),
    KEY channel_members_user_id (user_id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TABLE IF NOT EXISTS posts (
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
    message         MEDIUMTEXT NOT NULL,
    type            VARCHAR(26) NOT NULL DEFAULT '',
    props           MEDIUMTEXT NOT NULL DEFAULT ('{}'),
    hashtags        VARCHAR(1000) NOT NULL DEFAULT '',
    file_ids        MEDIUMTEXT NOT NULL DEFAULT ('[]'),
    mentions        MEDIUMTEXT NOT NULL DEFAULT ('[]'),
    pending_post_id VARCHAR(64),
    reply_count     BIGINT NOT NULL DEFAULT 0,
    last_reply_at   BIGINT NOT NULL DEFAULT 0,
    UNIQUE KEY posts_channel_id_seq_key (channel_id, seq),
    UNIQUE KEY posts_user_id_pending_post_id_key (user_id, pending_post_id),
    KEY posts_channel_id_update_at (channel_id, update_at),
    KEY posts_root_id (root_id, seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

-- A narrow row for each recoverable change of a channel that is not a new post; shares the channel's seq.
CREATE TABLE IF NOT EXISTS channel_events (
    channel_id VARCHAR(26) NOT NULL,
    seq        BIGINT NOT NULL,
    create_at  BIGINT NOT NULL,
    kind       VARCHAR(32) NOT NULL,
    ref        VARCHAR(26) NOT NULL,
    payload    MEDIUMTEXT NOT NULL DEFAULT ('{}'),
    PRIMARY KEY (channel_id, seq),
    KEY channel_events_create_at (create_at)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

-- Mentions a user has not viewed yet: counted when read, so that a post never rewrites its readers' rows.
CREATE TABLE IF NOT EXISTS post_mentions (
    user_id    VARCHAR(26) NOT NULL,
    channel_id VARCHAR(26) NOT NULL,
    seq        BIGINT NOT NULL,
    is_root    BOOLEAN NOT NULL,
    PRIMARY KEY (user_id, channel_id, seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TABLE IF NOT EXISTS statuses (
    user_id          VARCHAR(26) PRIMARY KEY,
    status           VARCHAR(16) NOT NULL,
    manual           BOOLEAN NOT NULL DEFAULT FALSE,
    last_activity_at BIGINT NOT NULL DEFAULT 0,
    dnd_end_time     BIGINT NOT NULL DEFAULT 0,
    prev_status      VARCHAR(16) NOT NULL DEFAULT ''
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TABLE IF NOT EXISTS preferences (
    user_id  VARCHAR(26) NOT NULL,
    category VARCHAR(32) NOT NULL,
    name     VARCHAR(32) NOT NULL,
    value    VARCHAR(2000) NOT NULL DEFAULT '',
    PRIMARY KEY (user_id, category, name)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};
