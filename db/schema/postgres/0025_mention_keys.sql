-- By which words users are mentioned beside their names, and of which replies they want to be told: what they say in
-- notify_props, in rows (decision 0050).
CREATE TABLE mention_keys (
    kind    VARCHAR(8) NOT NULL,
    keyword VARCHAR(64) NOT NULL,
    user_id VARCHAR(26) NOT NULL,
    PRIMARY KEY (kind, keyword, user_id)
);
CREATE INDEX mention_keys_user_id ON mention_keys (user_id);

CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON mention_keys FOR EACH ROW EXECUTE FUNCTION log_change('mention_keys', 'kind');
ALTER TABLE mention_keys ENABLE ALWAYS TRIGGER log_change;
CREATE TRIGGER log_truncate AFTER TRUNCATE ON mention_keys FOR EACH STATEMENT EXECUTE FUNCTION log_truncate();
ALTER TABLE mention_keys ENABLE ALWAYS TRIGGER log_truncate;
