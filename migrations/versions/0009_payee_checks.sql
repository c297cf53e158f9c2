-- What a payee's bank said of a name and an account (EPC218-23), as it was asked before the first payout to them.
CREATE TABLE payee_checks (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    bank_connection text NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 140),
    iban text NOT NULL,
    match text NOT NULL CHECK (match IN ('MTCH', 'CMTC', 'NMTC', 'NOAP')),
    matched_name text CHECK (match = 'CMTC' OR matched_name IS NULL),
    asked_at timestamptz NOT NULL
);
CREATE INDEX payee_checks_newest ON payee_checks (programme_id, iban, name, asked_at DESC);

-- Who had a payout sent although the bank did not say that the name is right.
CREATE TABLE payee_choices (
    payee_check_id uuid PRIMARY KEY REFERENCES payee_checks,
    payout_id uuid NOT NULL REFERENCES payouts,
    chosen_by text NOT NULL CHECK (length(chosen_by) BETWEEN 1 AND 64),
    reason text NOT NULL,
    chosen_at timestamptz NOT NULL
);

CREATE TRIGGER payee_checks_are_facts BEFORE UPDATE OR DELETE OR TRUNCATE ON payee_checks
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payee_choices_are_facts BEFORE UPDATE OR DELETE OR TRUNCATE ON payee_choices
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT ON payee_checks, payee_choices TO tallystick_app;
GRANT SELECT ON payee_checks, payee_choices TO tallystick_auditor;
