-- Who belongs to the cluster. A node writes its own row when it starts; `mac` proves that it knew the cluster's secret.
-- Times are the database's. left_at, removed_at: 0 while the node belongs to the cluster.
CREATE TABLE IF NOT EXISTS cluster_nodes (
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
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};

-- Signs of life are not told of: nobody keeps a copy of them.
CREATE TRIGGER IF NOT EXISTS log_cluster_nodes_insert AFTER INSERT ON cluster_nodes FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('cluster_node', NEW.node_id);
CREATE TRIGGER IF NOT EXISTS log_cluster_nodes_delete AFTER DELETE ON cluster_nodes FOR EACH ROW
    INSERT INTO cluster_log (namespace, "key") VALUES ('cluster_node', OLD.node_id);
CREATE TRIGGER IF NOT EXISTS log_cluster_nodes_update AFTER UPDATE ON cluster_nodes FOR EACH ROW
    IF NOT (OLD.node_id = NEW.node_id AND OLD.incarnation = NEW.incarnation AND OLD.public_key = NEW.public_key
        AND OLD.address = NEW.address AND OLD.mac = NEW.mac AND OLD.left_at = NEW.left_at
        AND OLD.removed_at = NEW.removed_at) THEN
    INSERT INTO cluster_log (namespace, "key")
    SELECT 'cluster_node', OLD.node_id UNION SELECT 'cluster_node', NEW.node_id; END IF;

-- Work that one node at a time may do. `token` grows with every acquisition and guards what is written under it.
CREATE TABLE IF NOT EXISTS leases (
    name       VARCHAR(64) PRIMARY KEY,
    holder     VARCHAR(64) NOT NULL DEFAULT '',
    token      BIGINT NOT NULL DEFAULT 0,
    expires_at BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation};
