-- People are found by how their names begin, whatever the collation of the database.
CREATE INDEX users_username_prefix ON users (username varchar_pattern_ops);
CREATE INDEX users_email_prefix ON users (email varchar_pattern_ops);
CREATE INDEX users_nickname_prefix ON users (lower(nickname) text_pattern_ops);
CREATE INDEX users_first_name_prefix ON users (lower(first_name) text_pattern_ops);
CREATE INDEX users_last_name_prefix ON users (lower(last_name) text_pattern_ops);

-- Lists of few among many.
CREATE INDEX users_create_at ON users (create_at);
CREATE INDEX users_deactivated ON users (username) WHERE delete_at <> 0;
CREATE INDEX users_with_roles ON users (username) WHERE roles <> 'system_user';
CREATE INDEX channel_members_admins ON channel_members (channel_id) WHERE scheme_admin;

-- What ends by itself. custom_status_ends_at: ms, 0 for one that stays, or none.
ALTER TABLE users ADD COLUMN custom_status_ends_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX users_custom_status_ends_at ON users (custom_status_ends_at) WHERE custom_status_ends_at > 0;
CREATE INDEX statuses_dnd_end_time ON statuses (dnd_end_time) WHERE dnd_end_time > 0;
