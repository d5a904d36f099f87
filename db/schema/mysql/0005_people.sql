-- Wrong passwords, by account and source of the requests; '' stands for all accounts, or all sources. `app/guard.py` says
-- what the times mean (ms, the database's clock). Nobody keeps a copy of them.
CREATE TABLE IF NOT EXISTS login_attempts (
    account      VARCHAR(26) NOT NULL,
    source       VARCHAR(64) NOT NULL,
    forgotten_at BIGINT NOT NULL DEFAULT 0,
    until_at     BIGINT NOT NULL DEFAULT 0,
    good_at      BIGINT NOT NULL DEFAULT 0,
    keep_until   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (account, source),
    KEY login_attempts_keep_until (keep_until)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

-- Who did what. Rows are added, and deleted when they are too old or too many; nobody changes one.
CREATE TABLE IF NOT EXISTS audits (
    id         VARCHAR(26) PRIMARY KEY,
    create_at  BIGINT NOT NULL,
    user_id    VARCHAR(26) NOT NULL DEFAULT '',
    session_id VARCHAR(26) NOT NULL DEFAULT '',
    action     VARCHAR(64) NOT NULL,
    result     VARCHAR(128) NOT NULL,
    extra_info VARCHAR(1024) NOT NULL DEFAULT '',
    ip_address VARCHAR(64) NOT NULL DEFAULT '',
    node_id    VARCHAR(26) NOT NULL DEFAULT '',
    request_id VARCHAR(26) NOT NULL DEFAULT '',
    KEY audits_create_at (create_at, id),
    KEY audits_user_id (user_id, create_at, id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TRIGGER IF NOT EXISTS refuse_audits_update BEFORE UPDATE ON audits FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'rows of audits are never changed';

-- Who is deactivated is not counted as a member, so it changes every channel and team that they belong to.
CREATE TRIGGER IF NOT EXISTS log_users_activation AFTER UPDATE ON users FOR EACH ROW
    IF OLD.delete_at <> NEW.delete_at THEN
    INSERT INTO cluster_log (namespace, "key")
    SELECT 'channel_members', channel_id FROM channel_members WHERE user_id = NEW.id
    UNION ALL SELECT 'team_members', team_id FROM team_members WHERE user_id = NEW.id; END IF;
