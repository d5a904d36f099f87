-- The outbox: what somebody changed and others may hold a copy of, by whatever way (triggers see psql too). A poll
-- reads what committed since the last one: `xid` tells exactly, however long a transaction was open. Rows are trimmed.
CREATE TABLE cluster_log (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid       XID8 NOT NULL DEFAULT pg_current_xact_id(),
    namespace VARCHAR(32) NOT NULL,
    key       VARCHAR(64) NOT NULL,
    create_at BIGINT NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
);
CREATE INDEX cluster_log_xid ON cluster_log (xid);
CREATE INDEX cluster_log_create_at ON cluster_log (create_at);

-- Arguments: pairs of namespace and column. Both the old and the new value of the column are told of.
CREATE FUNCTION log_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after  jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
BEGIN
    INSERT INTO cluster_log (namespace, key)
        SELECT DISTINCT TG_ARGV[n], row_ ->> TG_ARGV[n + 1]
        FROM generate_series(0, TG_NARGS - 1, 2) n, unnest(ARRAY[before, after]) row_
        WHERE row_ IS NOT NULL;
    RETURN NULL;
END $$;

CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION log_change('user', 'id');
CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE OF token_hash, user_id, expires_at, device_id, csrf_token
    ON sessions FOR EACH ROW EXECUTE FUNCTION log_change('session', 'id');
CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON teams
    FOR EACH ROW EXECUTE FUNCTION log_change('team', 'id');
CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON team_members
    FOR EACH ROW EXECUTE FUNCTION log_change('team_members', 'team_id', 'user_teams', 'user_id');
CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON channels
    FOR EACH ROW EXECUTE FUNCTION log_change('channel', 'id', 'team_channels', 'team_id');
-- How far a member has read changes with every post they write or view: nobody keeps a copy of that.
CREATE TRIGGER log_change AFTER INSERT OR DELETE
    OR UPDATE OF roles, scheme_user, scheme_admin, scheme_guest, notify_props, join_seq
    ON channel_members FOR EACH ROW
    EXECUTE FUNCTION log_change('channel_members', 'channel_id', 'user_channels', 'user_id');
CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON statuses
    FOR EACH ROW EXECUTE FUNCTION log_change('status', 'user_id');
CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE ON preferences
    FOR EACH ROW EXECUTE FUNCTION log_change('preferences', 'user_id');
