-- Posts are edited, pinned, deleted and reacted to. Nothing here needs a trigger: each of these changes takes a number of
-- its channel, and a head that moved is the invalidation of all copies of its posts.
ALTER TABLE posts ADD COLUMN has_reactions BOOLEAN NOT NULL DEFAULT FALSE;

-- Few posts are pinned, and they are counted whenever somebody opens the channel.
CREATE INDEX posts_pinned ON posts (channel_id, seq) WHERE is_pinned;

CREATE TABLE reactions (
    post_id    VARCHAR(26) NOT NULL,
    user_id    VARCHAR(26) NOT NULL,
    emoji_name VARCHAR(64) NOT NULL,
    create_at  BIGINT NOT NULL,
    PRIMARY KEY (post_id, user_id, emoji_name)
);

-- What a post said before it was edited or deleted, and by whom; seq: the number of that change in the channel.
CREATE TABLE post_versions (
    post_id   VARCHAR(26) NOT NULL,
    seq       BIGINT NOT NULL,
    ended_at  BIGINT NOT NULL,
    ended_by  VARCHAR(26) NOT NULL,
    update_at BIGINT NOT NULL,
    edit_at   BIGINT NOT NULL,
    message   TEXT NOT NULL,
    props     TEXT NOT NULL,
    PRIMARY KEY (post_id, seq)
);
