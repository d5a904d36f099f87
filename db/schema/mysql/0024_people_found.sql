-- People are found by how their names begin: in lower case, as texts are compared exactly. And what ends by itself;
-- custom_status_ends_at: ms, 0 for one that stays, or none.
--
-- One statement for columns and indexes: where it is run again the columns are there, which the runner takes for done.
ALTER TABLE users ADD COLUMN custom_status_ends_at BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN nickname_lower VARCHAR(64) AS (lower(nickname)) VIRTUAL,
    ADD COLUMN first_name_lower VARCHAR(64) AS (lower(first_name)) VIRTUAL,
    ADD COLUMN last_name_lower VARCHAR(64) AS (lower(last_name)) VIRTUAL,
    ADD KEY users_nickname_lower (nickname_lower),
    ADD KEY users_first_name_lower (first_name_lower),
    ADD KEY users_last_name_lower (last_name_lower),
    ADD KEY users_create_at (create_at),
    ADD KEY users_delete_at (delete_at),
    ADD KEY users_roles (roles),
    ADD KEY users_custom_status_ends_at (custom_status_ends_at);

ALTER TABLE channel_members ADD COLUMN admin_of VARCHAR(26) AS (IF(scheme_admin, channel_id, NULL)) VIRTUAL,
    ADD KEY channel_members_admin_of (admin_of);

ALTER TABLE statuses ADD COLUMN dnd_ends_at BIGINT AS (nullif(dnd_end_time, 0)) VIRTUAL,
    ADD KEY statuses_dnd_ends_at (dnd_ends_at);
