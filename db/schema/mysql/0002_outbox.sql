-- The outbox: what somebody changed and others may hold a copy of, by whatever way (triggers see the command line too).
-- Ids are given out before transactions commit, so a reader waits for those that it misses (db/mysql/outbox.py).
CREATE TABLE IF NOT EXISTS cluster_log (
    id        BIGINT AUTO_INCREMENT PRIMARY KEY,
    namespace VARCHAR(32) NOT NULL,
    "key"     VARCHAR(64) NOT NULL,
    create_at BIGINT NOT NULL DEFAULT (CAST(floor(unix_timestamp(now(6)) * 1000) AS SIGNED)),
    KEY cluster_log_create_at (create_at)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

-- For each table one trigger an event. Both the old and the new value of a column are told of.
CREATE TRIGGER IF NOT EXISTS log_users_insert AFTER INSERT ON users FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('user', NEW.id);
CREATE TRIGGER IF NOT EXISTS log_users_delete AFTER DELETE ON users FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('user', OLD.id);
CREATE TRIGGER IF NOT EXISTS log_users_update AFTER UPDATE ON users FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key")
    SELECT 'user', OLD.id UNION SELECT 'user', NEW.id;
CREATE TRIGGER IF NOT EXISTS log_sessions_insert AFTER INSERT ON sessions FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('session', NEW.id);
CREATE TRIGGER IF NOT EXISTS log_sessions_delete AFTER DELETE ON sessions FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('session', OLD.id);
CREATE TRIGGER IF NOT EXISTS log_sessions_update AFTER UPDATE ON sessions FOR EACH ROW
    IF NOT (OLD.id = NEW.id AND OLD.token_hash = NEW.token_hash AND OLD.user_id = NEW.user_id
        AND OLD.expires_at = NEW.expires_at AND OLD.device_id = NEW.device_id AND OLD.csrf_token = NEW.csrf_token) THEN
    INSERT INTO cluster_log (namespace, "key")
    SELECT 'session', OLD.id UNION SELECT 'session', NEW.id; END IF;
CREATE TRIGGER IF NOT EXISTS log_teams_insert AFTER INSERT ON teams FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('team', NEW.id);
CREATE TRIGGER IF NOT EXISTS log_teams_delete AFTER DELETE ON teams FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('team', OLD.id);
CREATE TRIGGER IF NOT EXISTS log_teams_update AFTER UPDATE ON teams FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key")
    SELECT 'team', OLD.id UNION SELECT 'team', NEW.id;
CREATE TRIGGER IF NOT EXISTS log_team_members_insert AFTER INSERT ON team_members FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('team_members', NEW.team_id), ('user_teams', NEW.user_id);
CREATE TRIGGER IF NOT EXISTS log_team_members_delete AFTER DELETE ON team_members FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('team_members', OLD.team_id), ('user_teams', OLD.user_id);
CREATE TRIGGER IF NOT EXISTS log_team_members_update AFTER UPDATE ON team_members FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key")
    SELECT 'team_members', OLD.team_id UNION SELECT 'team_members', NEW.team_id
    UNION SELECT 'user_teams', OLD.user_id UNION SELECT 'user_teams', NEW.user_id;
CREATE TRIGGER IF NOT EXISTS log_channels_insert AFTER INSERT ON channels FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('channel', NEW.id), ('team_channels', NEW.team_id);
CREATE TRIGGER IF NOT EXISTS log_channels_delete AFTER DELETE ON channels FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('channel', OLD.id), ('team_channels', OLD.team_id);
CREATE TRIGGER IF NOT EXISTS log_channels_update AFTER UPDATE ON channels FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key")
    SELECT 'channel', OLD.id UNION SELECT 'channel', NEW.id
    UNION SELECT 'team_channels', OLD.team_id UNION SELECT 'team_channels', NEW.team_id;
-- How far a member has read changes with every post they write or view: nobody keeps a copy of that.
CREATE TRIGGER IF NOT EXISTS log_channel_members_insert AFTER INSERT ON channel_members FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES
    ('channel_members', NEW.channel_id), ('user_channels', NEW.user_id);
CREATE TRIGGER IF NOT EXISTS log_channel_members_delete AFTER DELETE ON channel_members FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES
    ('channel_members', OLD.channel_id), ('user_channels', OLD.user_id);
CREATE TRIGGER IF NOT EXISTS log_channel_members_update AFTER UPDATE ON channel_members FOR EACH ROW
    IF NOT (OLD.channel_id = NEW.channel_id AND OLD.user_id = NEW.user_id AND OLD.roles = NEW.roles
        AND OLD.scheme_user = NEW.scheme_user AND OLD.scheme_admin = NEW.scheme_admin
        AND OLD.scheme_guest = NEW.scheme_guest AND OLD.notify_props = NEW.notify_props AND OLD.join_seq = NEW.join_seq) THEN
    INSERT INTO cluster_log (namespace, "key")
    SELECT 'channel_members', OLD.channel_id UNION SELECT 'channel_members', NEW.channel_id
    UNION SELECT 'user_channels', OLD.user_id UNION SELECT 'user_channels', NEW.user_id; END IF;
CREATE TRIGGER IF NOT EXISTS log_statuses_insert AFTER INSERT ON statuses FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('status', NEW.user_id);
CREATE TRIGGER IF NOT EXISTS log_statuses_delete AFTER DELETE ON statuses FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('status', OLD.user_id);
CREATE TRIGGER IF NOT EXISTS log_statuses_update AFTER UPDATE ON statuses FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key")
    SELECT 'status', OLD.user_id UNION SELECT 'status', NEW.user_id;
CREATE TRIGGER IF NOT EXISTS log_preferences_insert AFTER INSERT ON preferences FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('preferences', NEW.user_id);
CREATE TRIGGER IF NOT EXISTS log_preferences_delete AFTER DELETE ON preferences FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('preferences', OLD.user_id);
CREATE TRIGGER IF NOT EXISTS log_preferences_update AFTER UPDATE ON preferences FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key")
    SELECT 'preferences', OLD.user_id UNION SELECT 'preferences', NEW.user_id;
