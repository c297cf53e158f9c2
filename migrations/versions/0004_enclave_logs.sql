-- What the enclave looks at before it signs a checkpoint: hashes, and nothing that anybody did.

-- The logs, by the names under which they are sealed.
CREATE VIEW enclave_logs AS
SELECT id AS programme_id, 'tallystick.dev/' || name AS origin FROM programmes;

CREATE VIEW enclave_leaves AS
SELECT programme_id, position, leaf_hash FROM log_leaves;

CREATE VIEW enclave_trees AS
SELECT programme_id, size, peaks FROM checkpoints;

GRANT SELECT ON enclave_logs, enclave_leaves, enclave_trees TO tallystick_enclave, tallystick_auditor;
