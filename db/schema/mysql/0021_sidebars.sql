-- What clients keep of a user's settings: values as long as Mattermost's, and the categories of sidebars. A user has rows
-- of a team once they changed something there; before that they see the defaults (decision 0046).
ALTER TABLE preferences MODIFY value MEDIUMTEXT NOT NULL;

CREATE TABLE IF NOT EXISTS sidebar_categories (
    user_id      VARCHAR(26) NOT NULL,
    team_id      VARCHAR(26) NOT NULL,
    id           VARCHAR(80) NOT NULL,
    sort_order   INTEGER NOT NULL,
    type         VARCHAR(32) NOT NULL,
    sorting      VARCHAR(32) NOT NULL DEFAULT '',
    display_name VARCHAR(64) NOT NULL DEFAULT '',
    muted        BOOLEAN NOT NULL DEFAULT FALSE,
    collapsed    BOOLEAN NOT NULL DEFAULT FALSE,
    channel_ids  MEDIUMTEXT NOT NULL,
    PRIMARY KEY (user_id, team_id, id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

CREATE TRIGGER IF NOT EXISTS log_sidebar_categories_delete AFTER DELETE ON sidebar_categories FOR EACH ROW INSERT INTO cluster_log (namespace, "key") VALUES ('sidebar', OLD.user_id);
CREATE TRIGGER IF NOT EXISTS log_sidebar_categories_insert AFTER INSERT ON sidebar_categories FOR EACH ROW INSERT INTO cluster_log (namespace, "key") VALUES ('sidebar', NEW.user_id);
CREATE TRIGGER IF NOT EXISTS log_sidebar_categories_update AFTER UPDATE ON sidebar_categories FOR EACH ROW INSERT INTO cluster_log (namespace, "key") SELECT 'sidebar', OLD.user_id UNION SELECT 'sidebar', NEW.user_id;
