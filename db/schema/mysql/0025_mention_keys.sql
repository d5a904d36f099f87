-- By which words users are mentioned beside their names, and of which replies they want to be told: what they say in
-- notify_props, in rows (decision 0050).
CREATE TABLE IF NOT EXISTS mention_keys (
    kind    VARCHAR(8) NOT NULL,
    keyword VARCHAR(64) NOT NULL,
    user_id VARCHAR(26) NOT NULL,
    PRIMARY KEY (kind, keyword, user_id),
    KEY mention_keys_user_id (user_id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TRIGGER IF NOT EXISTS log_mention_keys_delete AFTER DELETE ON mention_keys FOR EACH ROW INSERT INTO cluster_log (namespace, "key") VALUES ('mention_keys', OLD.kind);
CREATE TRIGGER IF NOT EXISTS log_mention_keys_insert AFTER INSERT ON mention_keys FOR EACH ROW INSERT INTO cluster_log (namespace, "key") VALUES ('mention_keys', NEW.kind);
CREATE TRIGGER IF NOT EXISTS log_mention_keys_update AFTER UPDATE ON mention_keys FOR EACH ROW INSERT INTO cluster_log (namespace, "key") SELECT 'mention_keys', OLD.kind UNION SELECT 'mention_keys', NEW.kind;
