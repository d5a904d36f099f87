-- Wrong passwords, by account and source of the requests; '' stands for all accounts, or all sources. `app/guard.py` says
-- what the times mean (ms, the database's clock). Nobody keeps a copy of them.
CREATE TABLE login_attempts (
    account      VARCHAR(26) NOT NULL,
    source       VARCHAR(64) NOT NULL,
    forgotten_at BIGINT NOT NULL DEFAULT 0,
    until_at     BIGINT NOT NULL DEFAULT 0,
    good_at      BIGINT NOT NULL DEFAULT 0,
    keep_until   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (account, source)
) WITH (fillfactor = 50);
CREATE INDEX login_attempts_keep_until ON login_attempts (keep_until);

-- Who did what. Rows are added, and deleted when they are too old or too many; nobody changes one.
CREATE TABLE audits (
    id         VARCHAR(26) PRIMARY KEY,
    create_at  BIGINT NOT NULL,
    user_id    VARCHAR(26) NOT NULL DEFAULT '',
    session_id VARCHAR(26) NOT NULL DEFAULT '',
    action     VARCHAR(64) NOT NULL,
    result     VARCHAR(128) NOT NULL,
    extra_info VARCHAR(1024) NOT NULL DEFAULT '',
    ip_address VARCHAR(64) NOT NULL DEFAULT '',
    node_id    VARCHAR(26) NOT NULL DEFAULT '',
    request_id VARCHAR(26) NOT NULL DEFAULT ''
);
CREATE INDEX audits_create_at ON audits (create_at, id);
CREATE INDEX audits_user_id ON audits (user_id, create_at, id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME;
END $$;
CREATE TRIGGER refuse_change BEFORE UPDATE ON audits FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Who is deactivated is not counted as a member, so it changes every channel and team that they belong to.
CREATE FUNCTION log_activation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cluster_log (namespace, key)
        SELECT 'channel_members', channel_id FROM channel_members WHERE user_id = NEW.id
        UNION ALL SELECT 'team_members', team_id FROM team_members WHERE user_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER log_activation AFTER UPDATE OF delete_at ON users FOR EACH ROW
    WHEN (OLD.delete_at IS DISTINCT FROM NEW.delete_at) EXECUTE FUNCTION log_activation();
