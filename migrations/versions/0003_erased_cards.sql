-- A card's number goes when its seal does; that there was such a card stays a fact.
ALTER TABLE cards ALTER COLUMN sealed DROP NOT NULL;
ALTER TABLE cards ADD COLUMN erased_at timestamptz;
ALTER TABLE cards ADD CONSTRAINT cards_are_sealed_or_erased CHECK ((sealed IS NULL) = (erased_at IS NOT NULL));

-- A version of a key has up to five digits.
ALTER TABLE cards DROP CONSTRAINT cards_key_id_check;
ALTER TABLE cards ADD CONSTRAINT cards_key_id_check CHECK (key_id ~ '^[a-z_]{1,32}/v[1-9][0-9]{0,4}$');

-- A card is a fact but for its seal, which changes with its key and never without it, or goes and never comes back.
CREATE FUNCTION refuse_other_than_resealing_or_erasing() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_resealed boolean := NEW.erased_at IS NULL AND NEW.key_id <> OLD.key_id AND NEW.sealed <> OLD.sealed;
    is_erased boolean := NEW.erased_at IS NOT NULL AND NEW.key_id = OLD.key_id;
BEGIN
    IF (OLD.id, OLD.programme_id, OLD.bin, OLD.last_four, OLD.expiry_month, OLD.expiry_year, OLD.fingerprint, OLD.stored_at)
        IS DISTINCT FROM
        (NEW.id, NEW.programme_id, NEW.bin, NEW.last_four, NEW.expiry_month, NEW.expiry_year, NEW.fingerprint, NEW.stored_at)
        OR OLD.erased_at IS NOT NULL OR (is_resealed OR is_erased) IS NOT TRUE THEN
        RAISE EXCEPTION 'card % is sealed anew, erased or left as it is', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER cards_are_only_resealed ON cards;
CREATE TRIGGER cards_are_only_resealed_or_erased BEFORE UPDATE ON cards
    FOR EACH ROW EXECUTE FUNCTION refuse_other_than_resealing_or_erasing();
DROP FUNCTION refuse_other_than_resealing();

GRANT UPDATE (erased_at) ON cards TO tallystick_app;
GRANT SELECT (erased_at) ON cards TO tallystick_auditor;
