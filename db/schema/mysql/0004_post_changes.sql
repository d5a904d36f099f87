-- Posts are edited, pinned, deleted and reacted to. Nothing here needs a trigger: each of these changes takes a number of
-- its channel, and a head that moved is the invalidation of all copies of its posts.
--
-- One statement for column and index: where it is run again the column is there, which the runner takes for done.
ALTER TABLE posts ADD COLUMN has_reactions BOOLEAN NOT NULL DEFAULT FALSE, ADD KEY posts_pinned (channel_id, is_pinned, seq);

CREATE TABLE IF NOT EXISTS reactions (
    post_id    VARCHAR(26) NOT NULL,
    user_id    VARCHAR(26) NOT NULL,
    emoji_name VARCHAR(64) NOT NULL,
    create_at  BIGINT NOT NULL,
    PRIMARY KEY (post_id, user_id, emoji_name)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

-- What a post said before it was edited or deleted, and by whom; seq: the number of that change in the channel.
CREATE TABLE IF NOT EXISTS post_versions (
    post_id   VARCHAR(26) NOT NULL,
    seq       BIGINT NOT NULL,
    ended_at  BIGINT NOT NULL,
    ended_by  VARCHAR(26) NOT NULL,
    update_at BIGINT NOT NULL,
    edit_at   BIGINT NOT NULL,
    message   MEDIUMTEXT NOT NULL,
    props     MEDIUMTEXT NOT NULL,
    PRIMARY KEY (post_id, seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};
