-- The enclave reads no more of a document, nor of its signatures. Not of what stands there already: that cannot be taken
-- away, and the enclave cuts it.
ALTER TABLE key_resolutions ADD CONSTRAINT key_resolutions_can_be_read
    CHECK (octet_length(document) <= 1048576 AND octet_length(signatures::text) <= 16384) NOT VALID;

-- The items of a resolution, or none if the view below could not show them all: one row that is no document must not keep
-- it from showing the others.
CREATE FUNCTION readable_items(document text) RETURNS jsonb LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    items jsonb;
BEGIN
    items := document::jsonb -> 'items';
    PERFORM * FROM jsonb_to_recordset(items) AS item (
        kind text, key_id text, algorithm text, sha256 text, public_key_pem text,
        not_before timestamptz, sign_until timestamptz, verify_until timestamptz
    );
    RETURN items;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

CREATE OR REPLACE VIEW enclave_keys AS
WITH items AS MATERIALIZED (
    SELECT registered.id, registered.registered_at,
        ARRAY(SELECT jsonb_object_keys(registered.signatures) ORDER BY 1) AS signed_by, item.*
    FROM key_resolutions AS registered CROSS JOIN jsonb_to_recordset(readable_items(registered.document)) AS item (
        kind text, key_id text, algorithm text, sha256 text, public_key_pem text,
        not_before timestamptz, sign_until timestamptz, verify_until timestamptz
    )
)
SELECT admitted.key_id, admitted.algorithm, admitted.sha256, admitted.public_key_pem, admitted.not_before,
    COALESCE(retired.sign_until, admitted.sign_until) AS sign_until,
    COALESCE(retired.verify_until, admitted.verify_until) AS verify_until,
    admitted.signed_by, admitted.registered_at, cardinality(admitted.signed_by) AS signatures
FROM items AS admitted
    LEFT JOIN LATERAL (
        SELECT later.sign_until, later.verify_until FROM items AS later
        WHERE later.kind = 'retire_key' AND later.key_id = admitted.key_id
        ORDER BY later.id DESC LIMIT 1
    ) AS retired ON true
WHERE admitted.kind = 'admit_key';
COMMENT ON VIEW enclave_keys IS
    'What was registered of keys, whoever wrote it: signatures are counted here and not checked. Which of it counts, '
    'the enclave alone decides.';
