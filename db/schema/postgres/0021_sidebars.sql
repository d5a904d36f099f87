-- What clients keep of a user's settings: values as long as Mattermost's, and the categories of sidebars. A user has rows
-- of a team once they changed something there; before that they see the defaults (decision 0046).
ALTER TABLE preferences ALTER COLUMN value TYPE VARCHAR(20000);

CREATE TABLE sidebar_categories (
    user_id      VARCHAR(26) NOT NULL,
    team_id      VARCHAR(26) NOT NULL,
    id           VARCHAR(80) NOT NULL,
    sort_order   INTEGER NOT NULL,
    type         VARCHAR(32) NOT NULL,
    sorting      VARCHAR(32) NOT NULL DEFAULT '',
    display_name VARCHAR(64) NOT NULL DEFAULT '',
    muted        BOOLEAN NOT NULL DEFAULT FALSE,
    collapsed    BOOLEAN NOT NULL DEFAULT FALSE,
    channel_ids  TEXT NOT NULL,
    PRIMARY KEY (user_id, team_id, id)
);

CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON sidebar_categories FOR EACH ROW EXECUTE FUNCTION log_change('sidebar', 'user_id');
ALTER TABLE sidebar_categories ENABLE ALWAYS TRIGGER log_change;
CREATE TRIGGER log_truncate AFTER TRUNCATE ON sidebar_categories FOR EACH STATEMENT EXECUTE FUNCTION log_truncate();
ALTER TABLE sidebar_categories ENABLE ALWAYS TRIGGER log_truncate;
