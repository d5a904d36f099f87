-- Changes that fire no row trigger (decision 0035). TRUNCATE tells of everything: '*' is no namespace of an object.
CREATE FUNCTION log_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cluster_log (namespace, key) VALUES ('*', TG_TABLE_NAME);
    RETURN NULL;
END $$;

-- And all of ours fire also where session_replication_role = replica: for who restores, or applies what others wrote.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT unnest(ARRAY['users', 'sessions', 'teams', 'team_members', 'channels', 'channel_members',
        'channel_heads', 'channel_events', 'posts', 'post_versions', 'post_mentions', 'reactions', 'statuses',
        'preferences', 'systems', 'cluster_nodes', 'cluster_log']) AS name
    LOOP
        EXECUTE format(
            'CREATE TRIGGER log_truncate AFTER TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION log_truncate()', one.name);
    END LOOP;
    FOR one IN SELECT t.tgname, t.tgrelid::regclass AS place FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
        WHERE NOT t.tgisinternal AND f.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'cluster_log'::regclass)
        AND f.proname IN ('log_change', 'log_activation', 'log_truncate', 'refuse_change')
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', one.place, one.tgname);
    END LOOP;
END $$;
