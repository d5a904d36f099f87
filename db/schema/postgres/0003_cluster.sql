-- Who belongs to the cluster. A node writes its own row when it starts; `mac` proves that it knew the cluster's secret.
-- Times are the database's. left_at, removed_at: 0 while the node belongs to the cluster.
CREATE TABLE cluster_nodes (
    node_id      VARCHAR(26) PRIMARY KEY,
    incarnation  BIGINT NOT NULL,
    public_key   VARCHAR(40) NOT NULL,
    address      VARCHAR(261) NOT NULL,
    hostname     VARCHAR(255) NOT NULL DEFAULT '',
    version      VARCHAR(64) NOT NULL DEFAULT '',
    mac          VARCHAR(64) NOT NULL,
    last_seen_at BIGINT NOT NULL,
    left_at      BIGINT NOT NULL DEFAULT 0,
    removed_at   BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 80);

-- Signs of life are not told of: nobody keeps a copy of them.
CREATE TRIGGER log_change AFTER INSERT OR DELETE OR UPDATE OF incarnation, public_key, address, mac, left_at, removed_at
    ON cluster_nodes FOR EACH ROW EXECUTE FUNCTION log_change('cluster_node', 'node_id');

-- Work that one node at a time may do. `token` grows with every acquisition and guards what is written under it.
CREATE TABLE leases (
    name       VARCHAR(64) PRIMARY KEY,
    holder     VARCHAR(64) NOT NULL DEFAULT '',
    token      BIGINT NOT NULL DEFAULT 0,
    expires_at BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 80);
