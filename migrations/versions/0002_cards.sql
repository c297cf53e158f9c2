-- Cards under their tokens: what may be shown of each, and its number, sealed by the enclave and opened only there. There
-- is no column for a number, nor for a security code.
CREATE TABLE cards (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    bin text NOT NULL CHECK (bin ~ '^([0-9]{6}|[0-9]{8})$'),
    last_four text NOT NULL CHECK (last_four ~ '^[0-9]{4}$'),
    expiry_month smallint NOT NULL CHECK (expiry_month BETWEEN 1 AND 12),
    expiry_year smallint NOT NULL CHECK (expiry_year BETWEEN 2000 AND 2099),
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    key_id text NOT NULL CHECK (key_id ~ '^[a-z_]{1,32}/v[1-9][0-9]{0,2}$'),
    sealed bytea NOT NULL CHECK (length(sealed) BETWEEN 40 AND 47), -- nonce, 12 to 19 digits, tag
    stored_at timestamptz NOT NULL
);
CREATE INDEX cards_by_fingerprint ON cards (programme_id, fingerprint);

-- A card is a fact but for its seal, which changes with its key and never without it.
CREATE FUNCTION refuse_other_than_resealing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.id, OLD.programme_id, OLD.bin, OLD.last_four, OLD.expiry_month, OLD.expiry_year, OLD.fingerprint, OLD.stored_at)
        IS DISTINCT FROM
        (NEW.id, NEW.programme_id, NEW.bin, NEW.last_four, NEW.expiry_month, NEW.expiry_year, NEW.fingerprint, NEW.stored_at)
        OR NEW.key_id = OLD.key_id OR NEW.sealed = OLD.sealed THEN
        RAISE EXCEPTION 'card % is sealed anew or left as it is', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER cards_are_only_resealed BEFORE UPDATE ON cards
    FOR EACH ROW EXECUTE FUNCTION refuse_other_than_resealing();
CREATE TRIGGER cards_are_facts BEFORE DELETE OR TRUNCATE ON cards
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT ON cards TO tallystick_app;
GRANT UPDATE (key_id, sealed) ON cards TO tallystick_app;
-- Auditors see that there are cards and under which key; what is sealed is of no use to them.
GRANT SELECT (id, programme_id, bin, last_four, expiry_month, expiry_year, key_id, stored_at) ON cards TO tallystick_auditor;
