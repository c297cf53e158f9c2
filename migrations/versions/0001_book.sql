-- The first schema. Facts are inserted, never updated or deleted: grants and triggers both see to it.
-- Amounts are BIGINT minor units; ids are UUIDs (their text form carries the prefix of their kind).

-- Who, and under which licence --------------------------------------------------------------------------

CREATE TABLE programmes (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{1,62}$'),
    legal_name text NOT NULL,
    bank_connection text NOT NULL,
    safeguarding_bank_id text NOT NULL,
    safeguarding_iban text NOT NULL,
    operating_bank_id text NOT NULL,
    operating_iban text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    created_at timestamptz NOT NULL,
    -- What arrives at an account, and what its statements say, belongs to one programme.
    UNIQUE (bank_connection, safeguarding_bank_id),
    UNIQUE (bank_connection, safeguarding_iban),
    UNIQUE (bank_connection, operating_bank_id),
    UNIQUE (bank_connection, operating_iban),
    CHECK (safeguarding_iban <> operating_iban)
);

CREATE TABLE clients (
    id text PRIMARY KEY,
    programme_id uuid REFERENCES programmes,
    secret_digest bytea NOT NULL CHECK (length(secret_digest) = 32),
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE parties (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    role text NOT NULL CHECK (role IN ('customer', 'merchant', 'creator')),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 140),
    reference text NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'held')),
    payout_name text,
    payout_iban text,
    commission_bps int CHECK (commission_bps BETWEEN 0 AND 10000),
    created_at timestamptz NOT NULL,
    UNIQUE (programme_id, reference)
);

-- Where the money of a party may be paid out, and (no party) where a programme sweeps its own: every account that ever
-- was set, the newest of which holds. When it was set is this server's own word: who waits for time to pass since then,
-- the enclave, must not be told by the application, whose clock may be a test's.
CREATE TABLE payout_accounts (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    party_id uuid REFERENCES parties,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 70),
    iban text NOT NULL,
    set_by text NOT NULL CHECK (length(set_by) BETWEEN 1 AND 64),
    set_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX payout_accounts_newest ON payout_accounts (programme_id, party_id, set_at, id);

CREATE TABLE payout_account_verifications (
    payout_account_id uuid NOT NULL REFERENCES payout_accounts,
    how text NOT NULL CHECK (how IN ('four_eyes', 'payee_check')),
    verified_by text NOT NULL CHECK (length(verified_by) BETWEEN 1 AND 64),
    verified_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (payout_account_id, how)
);

CREATE TABLE authenticators (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    party_id uuid NOT NULL REFERENCES parties,
    public_key_pem text NOT NULL,
    created_at timestamptz NOT NULL
);

-- The gate's records --------------------------------------------------------------------------------------

CREATE TABLE clearances (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    order_kind text NOT NULL,
    order_canonical text NOT NULL,
    order_digest bytea NOT NULL UNIQUE CHECK (length(order_digest) = 32),
    decision jsonb NOT NULL,
    redeemed_at timestamptz NOT NULL,
    screened_at timestamptz NOT NULL DEFAULT clock_timestamp(), -- by this server's clock, not the programme's
    CHECK (sha256(convert_to(order_canonical, 'UTF8')) = order_digest)
);

CREATE TABLE cases (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    order_kind text NOT NULL,
    order_canonical text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('held', 'refused')),
    findings jsonb NOT NULL,
    inputs jsonb NOT NULL,
    opened_at timestamptz NOT NULL
);
CREATE INDEX cases_by_programme ON cases (programme_id, id);

CREATE TABLE sanctions_lists (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    name text NOT NULL,
    content_digest bytea NOT NULL,
    legal_basis text NOT NULL,
    loaded_at timestamptz NOT NULL,
    UNIQUE (programme_id, name, content_digest)
);

CREATE TABLE sanctions_names (
    list_id uuid NOT NULL REFERENCES sanctions_lists,
    entry text NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (list_id, entry, name)
);

CREATE TABLE authentications (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    party_id uuid NOT NULL REFERENCES parties,
    subject_id text NOT NULL UNIQUE,
    challenge text NOT NULL,
    failures int NOT NULL DEFAULT 0 CHECK (failures BETWEEN 0 AND 5),
    state text NOT NULL CHECK (state IN ('asked', 'answered', 'locked')),
    expires_at timestamptz NOT NULL,
    asked_at timestamptz NOT NULL,
    answered_at timestamptz
);

-- What banks tell us ----------------------------------------------------------------------------------------

CREATE TABLE notices (
    id uuid PRIMARY KEY,
    bank_connection text NOT NULL,
    source text NOT NULL CHECK (source IN ('webhook', 'answer', 'status', 'statement')),
    key text NOT NULL,
    type text NOT NULL,
    body bytea NOT NULL,
    received_at timestamptz NOT NULL,
    processed_at timestamptz,
    UNIQUE (bank_connection, key)
);

CREATE INDEX notices_unheeded ON notices (id) WHERE processed_at IS NULL AND source = 'webhook';

-- The book --------------------------------------------------------------------------------------------------

-- What a programme counts in besides ISO 4217: coins, points. Never three letters, so no currency is ever shadowed.
CREATE TABLE units (
    programme_id uuid NOT NULL REFERENCES programmes,
    code text NOT NULL CHECK (code ~ '^[A-Z][A-Z0-9]{3,11}$'),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 70),
    decimals smallint NOT NULL CHECK (decimals BETWEEN 0 AND 18),
    defined_at timestamptz NOT NULL,
    PRIMARY KEY (programme_id, code)
);

-- How far the past is settled. A period never overlaps another of its programme (the flow sees to it under its lock).
CREATE TABLE periods (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'soft_closed', 'closed', 'sealed')),
    created_at timestamptz NOT NULL,
    UNIQUE (programme_id, starts_at),
    UNIQUE (programme_id, ends_at),
    CHECK (starts_at < ends_at)
);

-- The latest instant of which the book has said what it knew then: nothing is recorded at or before it any more.
CREATE TABLE horizons (
    programme_id uuid PRIMARY KEY REFERENCES programmes,
    answered_until timestamptz NOT NULL
);

-- How far the past of these programmes is settled, under locks that keep it so. Every statement of a function sees what
-- was committed before it began: the second one sees all that the locks had to wait for.
CREATE FUNCTION share_calendars(keys bigint[], programme_ids uuid[]) RETURNS TABLE (
    programme_id uuid, soft_closed_until timestamptz, closed_until timestamptz, answered_until timestamptz
) LANGUAGE plpgsql VOLATILE ROWS 1 SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(key) FROM unnest(keys) AS key;
    RETURN QUERY SELECT asked.id,
        (SELECT max(ends_at) FROM periods WHERE periods.programme_id = asked.id AND state = 'soft_closed'),
        (SELECT max(ends_at) FROM periods WHERE periods.programme_id = asked.id AND state IN ('closed', 'sealed')),
        (SELECT horizons.answered_until FROM horizons WHERE horizons.programme_id = asked.id)
    FROM unnest(programme_ids) AS asked (id);
END $$;

-- Who an account is: said when it is opened, and a fact from then on.
CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    number int GENERATED BY DEFAULT AS IDENTITY, -- the short name under which its entries are kept
    programme_id uuid NOT NULL REFERENCES programmes,
    code text NOT NULL,
    path text COLLATE "C" NOT NULL, -- class/code, and what the programme divides it into
    party_id uuid REFERENCES parties,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]([A-Z]{2}|[A-Z0-9]{3,11})$'),
    class text NOT NULL CHECK (class IN ('asset', 'liability', 'income', 'expense', 'equity')),
    side text NOT NULL CHECK (side = CASE WHEN class IN ('asset', 'expense') THEN 'debit' ELSE 'credit' END),
    pool text,
    tags text[] NOT NULL,
    min_available_minor bigint,
    max_balance_minor bigint,
    opened_at timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (programme_id, path, party_id, currency),
    -- What a leg must not cross can be read off the index alone.
    CONSTRAINT accounts_by_number UNIQUE (number) INCLUDE (programme_id, currency),
    -- Customer money is always tagged with its safeguarding pool.
    CHECK (pool IS NOT NULL OR class <> 'liability' OR code = 'tax_payable')
);
CREATE INDEX accounts_by_tag ON accounts USING gin (tags);
CREATE INDEX accounts_by_party ON accounts (party_id) WHERE party_id IS NOT NULL;

-- Where an account stands: what its entries come to, and the limits that hold for it. Every movement rewrites two of
-- these rows, so they are narrow, and have room to change in place.
CREATE TABLE standings (
    debits_minor bigint NOT NULL CHECK (debits_minor >= 0),
    credits_minor bigint NOT NULL CHECK (credits_minor >= 0),
    held_minor bigint NOT NULL CHECK (held_minor >= 0),
    version bigint NOT NULL CHECK (version >= 0),
    recorded_at timestamptz NOT NULL,
    min_available_minor bigint,
    max_balance_minor bigint,
    number int PRIMARY KEY REFERENCES accounts (number),
    side text NOT NULL CHECK (side IN ('debit', 'credit')),
    status text NOT NULL CHECK (status IN ('open', 'frozen', 'closed')),
    -- A bug in Python cannot overdraw an account or pass its cap.
    CONSTRAINT standings_min_available CHECK (
        (CASE side WHEN 'debit' THEN debits_minor - credits_minor ELSE credits_minor - debits_minor END)
        - held_minor >= min_available_minor
    ),
    CONSTRAINT standings_max_balance CHECK (
        (CASE side WHEN 'debit' THEN debits_minor - credits_minor ELSE credits_minor - debits_minor END)
        <= max_balance_minor
    )
) WITH (fillfactor = 50);

-- One row for each command that was carried out: what it said (what its movements do not show, in `asked`), the first
-- leg that it moved and its step, what it did to one account alone: mostly all there is. A leg is one amount on two
-- accounts, so that a debit without its credit cannot be written down at all. The counters of an account stand as they
-- were after it. Wide columns first: no byte is lost to alignment.
CREATE TABLE transfers (
    amount_minor bigint CHECK (amount_minor > 0),
    debit_version bigint,
    credit_version bigint,
    debit_debits_minor bigint,
    debit_credits_minor bigint,
    debit_held_minor bigint,
    credit_debits_minor bigint,
    credit_credits_minor bigint,
    credit_held_minor bigint,
    debit_number int,
    credit_number int,
    step_version bigint CHECK (step_version > 0),
    step_amount_minor bigint,
    step_debits_minor bigint,
    step_credits_minor bigint,
    step_held_minor bigint CHECK (step_held_minor >= 0),
    step_number int,
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL,
    hold_id uuid,
    reverses_id uuid,
    clearance_id uuid,
    notice_id uuid,
    effective_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind text NOT NULL CHECK (kind IN (
        'post', 'hold', 'increase', 'capture', 'release', 'expire', 'reverse', 'open', 'freeze', 'unfreeze', 'close'
    )),
    reference text NOT NULL,
    asked jsonb,
    metadata jsonb,
    -- No money moves without a redeemed clearance, or a bank's word that it already has. What moves none needs neither.
    CONSTRAINT transfers_authority CHECK (
        num_nonnulls(clearance_id, notice_id) = 1 OR (
            num_nonnulls(clearance_id, notice_id) = 0
            AND kind IN ('release', 'expire', 'open', 'freeze', 'unfreeze', 'close')
        )
    ),
    CHECK ((kind IN ('increase', 'capture', 'release', 'expire')) = (hold_id IS NOT NULL)),
    CHECK ((kind = 'reverse') = (reverses_id IS NOT NULL)),
    CONSTRAINT transfers_leg CHECK (
        CASE WHEN kind IN ('post', 'capture', 'reverse') THEN (
            amount_minor, debit_number, debit_version, debit_debits_minor, debit_credits_minor, debit_held_minor,
            credit_number, credit_version, credit_debits_minor, credit_credits_minor, credit_held_minor
        ) IS NOT NULL ELSE (
            amount_minor, debit_number, debit_version, debit_debits_minor, debit_credits_minor, debit_held_minor,
            credit_number, credit_version, credit_debits_minor, credit_credits_minor, credit_held_minor
        ) IS NULL END
    ),
    CONSTRAINT transfers_two_accounts CHECK (debit_number <> credit_number),
    CONSTRAINT transfers_step CHECK (
        CASE WHEN kind IN ('post', 'reverse') THEN (
            step_number, step_version, step_amount_minor, step_debits_minor, step_credits_minor, step_held_minor
        ) IS NULL ELSE (
            step_number, step_version, step_amount_minor, step_debits_minor, step_credits_minor, step_held_minor
        ) IS NOT NULL END
    ),
    CONSTRAINT transfers_step_amount CHECK (
        CASE WHEN kind IN ('open', 'freeze', 'unfreeze', 'close') THEN step_amount_minor = 0
            ELSE step_amount_minor > 0 END
    )
);
CREATE INDEX transfers_by_programme ON transfers (programme_id, xid);
CREATE UNIQUE INDEX transfers_by_debit ON transfers (debit_number, debit_version) WHERE debit_number IS NOT NULL;
CREATE UNIQUE INDEX transfers_by_credit ON transfers (credit_number, credit_version) WHERE credit_number IS NOT NULL;
CREATE UNIQUE INDEX transfers_by_step ON transfers (step_number, step_version) WHERE step_number IS NOT NULL;
CREATE UNIQUE INDEX transfers_reversed_once ON transfers (reverses_id) WHERE reverses_id IS NOT NULL;
CREATE INDEX transfers_by_metadata ON transfers USING gin (metadata jsonb_path_ops) WHERE metadata IS NOT NULL;
-- Balances by value date look only at what was not effective when it was recorded; most of the book is.
CREATE INDEX transfers_dated_debit ON transfers (debit_number, effective_at, recorded_at)
    WHERE effective_at <> recorded_at AND debit_number IS NOT NULL;
CREATE INDEX transfers_dated_credit ON transfers (credit_number, effective_at, recorded_at)
    WHERE effective_at <> recorded_at AND credit_number IS NOT NULL;

-- The legs of a transfer from its second one on.
CREATE TABLE further_legs (
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    debit_version bigint NOT NULL,
    credit_version bigint NOT NULL,
    debit_debits_minor bigint NOT NULL,
    debit_credits_minor bigint NOT NULL,
    debit_held_minor bigint NOT NULL,
    credit_debits_minor bigint NOT NULL,
    credit_credits_minor bigint NOT NULL,
    credit_held_minor bigint NOT NULL,
    debit_number int NOT NULL,
    credit_number int NOT NULL,
    effective_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    transfer_id uuid NOT NULL,
    leg smallint NOT NULL CHECK (leg > 1),
    PRIMARY KEY (transfer_id, leg),
    CONSTRAINT further_legs_by_debit UNIQUE (debit_number, debit_version),
    CONSTRAINT further_legs_by_credit UNIQUE (credit_number, credit_version),
    CONSTRAINT further_legs_two_accounts CHECK (debit_number <> credit_number)
);
CREATE INDEX further_legs_dated_debit ON further_legs (debit_number, effective_at, recorded_at)
    WHERE effective_at <> recorded_at;
CREATE INDEX further_legs_dated_credit ON further_legs (credit_number, effective_at, recorded_at)
    WHERE effective_at <> recorded_at;

-- All legs.
CREATE VIEW legs AS
SELECT id AS transfer_id, 1::smallint AS leg, amount_minor,
    debit_number, debit_version, debit_debits_minor, debit_credits_minor, debit_held_minor,
    credit_number, credit_version, credit_debits_minor, credit_credits_minor, credit_held_minor,
    effective_at, recorded_at
FROM transfers WHERE debit_number IS NOT NULL
UNION ALL
SELECT transfer_id, leg, amount_minor,
    debit_number, debit_version, debit_debits_minor, debit_credits_minor, debit_held_minor,
    credit_number, credit_version, credit_debits_minor, credit_credits_minor, credit_held_minor,
    effective_at, recorded_at
FROM further_legs;

-- What happened to one account alone: money on it was held or released; it was opened, frozen, closed.
CREATE FUNCTION movement_of(kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE kind WHEN 'increase' THEN 'hold' WHEN 'capture' THEN 'release' WHEN 'expire' THEN 'release' ELSE kind END
$$;
CREATE VIEW account_steps AS
SELECT id AS transfer_id, step_number AS account_number, step_version AS version, movement_of(kind) AS movement,
    step_amount_minor AS amount_minor, step_debits_minor AS debits_after_minor,
    step_credits_minor AS credits_after_minor, step_held_minor AS held_after_minor, effective_at, recorded_at
FROM transfers WHERE step_number IS NOT NULL;

-- An entry is a movement as one account saw it. This view is for who names the account: what has no leg, or no step, has
-- a row of no account here, because a condition would keep the planner from merging branches in the order of versions.
CREATE VIEW account_entries AS
SELECT debit_number AS account_number, debit_version AS version, id AS transfer_id, 1::smallint AS leg,
    'debit'::text AS movement, amount_minor, debit_debits_minor AS debits_after_minor,
    debit_credits_minor AS credits_after_minor, debit_held_minor AS held_after_minor, effective_at, recorded_at
FROM transfers
UNION ALL
SELECT credit_number, credit_version, id, 1::smallint, 'credit'::text, amount_minor,
    credit_debits_minor, credit_credits_minor, credit_held_minor, effective_at, recorded_at
FROM transfers
UNION ALL
SELECT debit_number, debit_version, transfer_id, leg, 'debit'::text, amount_minor,
    debit_debits_minor, debit_credits_minor, debit_held_minor, effective_at, recorded_at
FROM further_legs
UNION ALL
SELECT credit_number, credit_version, transfer_id, leg, 'credit'::text, amount_minor,
    credit_debits_minor, credit_credits_minor, credit_held_minor, effective_at, recorded_at
FROM further_legs
UNION ALL
SELECT step_number, step_version, id, 0::smallint, movement_of(kind), step_amount_minor,
    step_debits_minor, step_credits_minor, step_held_minor, effective_at, recorded_at
FROM transfers;
CREATE VIEW entries AS SELECT * FROM account_entries WHERE account_number IS NOT NULL;

-- The version that an account had at an instant (0: none yet). Versions are gapless and their times never run
-- backwards, so halving finds it in a few index look-ups, whatever the account's history.
CREATE FUNCTION version_at(account int, instant timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE STRICT
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    known bigint := 0;
    beyond bigint;
    probe bigint;
    probed timestamptz;
BEGIN
    SELECT version + 1 INTO beyond FROM standings WHERE number = account AND recorded_at > instant;
    IF NOT FOUND THEN
        RETURN (SELECT version FROM standings WHERE number = account);
    END IF;
    WHILE known + 1 < beyond LOOP
        probe := (known + beyond) / 2;
        SELECT recorded_at INTO STRICT probed FROM account_entries WHERE account_number = account AND version = probe;
        IF probed <= instant THEN known := probe; ELSE beyond := probe; END IF;
    END LOOP;
    RETURN known;
END $$;

CREATE TABLE holds (
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    captured_minor bigint NOT NULL CHECK (captured_minor >= 0),
    released_minor bigint NOT NULL CHECK (released_minor >= 0),
    expires_at timestamptz,
    transfer_id uuid PRIMARY KEY,
    programme_id uuid NOT NULL,
    account_id uuid NOT NULL,
    is_open boolean NOT NULL, -- of its own, so that a hold that is only used changes in place
    CHECK (captured_minor + released_minor <= amount_minor),
    CHECK (is_open = (captured_minor + released_minor < amount_minor))
) WITH (fillfactor = 50);
CREATE INDEX holds_by_expiry ON holds (expires_at) WHERE is_open;

-- The stories of money ----------------------------------------------------------------------------------------

CREATE TABLE virtual_ibans (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    account_id uuid NOT NULL REFERENCES accounts,
    state text NOT NULL CHECK (state IN ('requested', 'active', 'failed')),
    iban text UNIQUE,
    bank_id text,
    requested_at timestamptz NOT NULL,
    CHECK ((state = 'active') = (iban IS NOT NULL))
);

CREATE TABLE deposits (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    account_id uuid REFERENCES accounts, -- null: nobody of ours has the IBAN it was sent to
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    debtor_name text NOT NULL,
    debtor_iban text NOT NULL,
    creditor_iban text NOT NULL,
    remittance text NOT NULL,
    transaction_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('suspended', 'credited')),
    notice_id uuid NOT NULL REFERENCES notices,
    received_at timestamptz NOT NULL
);

CREATE TABLE checkouts (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    payer_id uuid NOT NULL REFERENCES parties,
    reference text NOT NULL,
    currency text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    state text NOT NULL CHECK (state IN ('requires_authentication', 'authorised', 'closed', 'expired')),
    hold_id uuid REFERENCES transfers,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (programme_id, reference)
);

CREATE TABLE checkout_lines (
    checkout_id uuid NOT NULL REFERENCES checkouts,
    line_no smallint NOT NULL,
    reference text NOT NULL,
    seller_id uuid NOT NULL REFERENCES parties,
    quantity int NOT NULL CHECK (quantity > 0),
    unit_minor bigint NOT NULL CHECK (unit_minor > 0),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    splits jsonb NOT NULL,
    captured_minor bigint NOT NULL CHECK (captured_minor >= 0),
    refunded_minor bigint NOT NULL CHECK (refunded_minor >= 0),
    captured_parts jsonb NOT NULL,
    refunded_parts jsonb NOT NULL,
    final boolean NOT NULL,
    PRIMARY KEY (checkout_id, line_no),
    UNIQUE (checkout_id, reference),
    CHECK (captured_minor <= amount_minor),
    CHECK (refunded_minor <= captured_minor),
    CHECK (quantity * unit_minor = amount_minor)
);

CREATE TABLE line_steps (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    checkout_id uuid NOT NULL,
    line_no smallint NOT NULL,
    step text NOT NULL CHECK (step IN ('capture', 'refund')),
    order_id uuid NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    parts jsonb NOT NULL,
    transfer_id uuid NOT NULL REFERENCES transfers,
    recorded_at timestamptz NOT NULL,
    FOREIGN KEY (checkout_id, line_no) REFERENCES checkout_lines
);
CREATE INDEX line_steps_by_order ON line_steps (order_id);

CREATE TABLE payouts (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    kind text NOT NULL CHECK (kind IN ('payout', 'sweep')),
    reference text NOT NULL,
    party_id uuid REFERENCES parties,
    account_id uuid NOT NULL REFERENCES accounts,
    rail text NOT NULL CHECK (rail IN ('SCT', 'SCT_INST')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    creditor_name text NOT NULL,
    creditor_iban text NOT NULL,
    debtor_name text NOT NULL,
    debtor_iban text NOT NULL,
    end_to_end_id text NOT NULL UNIQUE CHECK (length(end_to_end_id) BETWEEN 1 AND 35),
    remittance text NOT NULL CHECK (length(remittance) BETWEEN 1 AND 140),
    initiator text NOT NULL CHECK (length(initiator) BETWEEN 1 AND 64),
    order_digest bytea NOT NULL UNIQUE REFERENCES clearances (order_digest),
    clearance_id uuid NOT NULL REFERENCES clearances,
    transfer_id uuid NOT NULL REFERENCES transfers,
    state text NOT NULL CHECK (
        state IN ('queued', 'submitted', 'accepted', 'unknown', 'settled', 'rejected', 'returned')
    ),
    created_at timestamptz NOT NULL,
    UNIQUE (programme_id, reference)
);
CREATE INDEX payouts_by_state ON payouts (state) WHERE state IN ('queued', 'submitted', 'accepted', 'unknown');

-- What people have signed under a payout's order. The signatures are looked at by the enclave and by nobody before it.
CREATE TABLE payout_approvals (
    payout_id uuid NOT NULL REFERENCES payouts,
    approver_id text NOT NULL CHECK (length(approver_id) BETWEEN 1 AND 64),
    signature bytea NOT NULL CHECK (length(signature) BETWEEN 8 AND 80),
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (payout_id, approver_id, signature)
);

-- That the gate has screened an order anew, because its payout had to wait.
CREATE TABLE payout_screenings (
    id uuid PRIMARY KEY,
    payout_id uuid NOT NULL REFERENCES payouts,
    decision jsonb NOT NULL,
    screened_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX payout_screenings_newest ON payout_screenings (payout_id, screened_at);

CREATE TABLE attempts (
    id uuid PRIMARY KEY,
    payout_id uuid NOT NULL REFERENCES payouts,
    attempt_no smallint NOT NULL CHECK (attempt_no > 0),
    request_id text NOT NULL,
    opened_at timestamptz NOT NULL,
    request_body bytea,
    signature text,
    sent_at timestamptz,
    outcome text CHECK (outcome IN ('accepted', 'rejected', 'not_sent', 'unknown')),
    cause text,
    bank_references jsonb,
    answered_at timestamptz,
    UNIQUE (payout_id, attempt_no),
    CHECK ((request_body IS NULL) = (signature IS NULL)),
    CHECK (sent_at IS NULL OR request_body IS NOT NULL)
);
-- A bank is never asked twice for a payout while the first might stand.
CREATE UNIQUE INDEX attempts_one_might_stand ON attempts (payout_id) WHERE outcome IS DISTINCT FROM 'not_sent';

CREATE TABLE events (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    subject_id text NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,
    occurred_at timestamptz NOT NULL
);
CREATE INDEX events_by_subject ON events (subject_id, id);

-- Reconciliation ----------------------------------------------------------------------------------------------

CREATE TABLE statements (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    account_id uuid NOT NULL REFERENCES accounts,
    bank_statement_id text NOT NULL,
    iban text NOT NULL,
    currency text NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    opening_minor bigint NOT NULL,
    closing_minor bigint NOT NULL,
    document_digest bytea NOT NULL,
    imported_at timestamptz NOT NULL,
    UNIQUE (account_id, starts_at, ends_at)
);

CREATE TABLE statement_lines (
    id uuid PRIMARY KEY,
    statement_id uuid NOT NULL REFERENCES statements,
    account_id uuid NOT NULL REFERENCES accounts,
    line_no int NOT NULL,
    transaction_id text NOT NULL,
    end_to_end_id text,
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    booked_on date NOT NULL,
    value_on date NOT NULL,
    bank_code text NOT NULL,
    counterparty text,
    remittance text,
    UNIQUE (statement_id, line_no),
    UNIQUE (account_id, transaction_id)
);

CREATE TABLE statement_requests (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    day date NOT NULL,
    state text NOT NULL CHECK (state IN ('requested', 'imported', 'failed')),
    detail text,
    requested_at timestamptz NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    UNIQUE (programme_id, day)
);

CREATE TABLE matches (
    line_id uuid PRIMARY KEY REFERENCES statement_lines,
    account_id uuid NOT NULL,
    version bigint NOT NULL,
    rule text NOT NULL,
    matched_at timestamptz NOT NULL,
    UNIQUE (account_id, version)
);

CREATE TABLE breaks (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    kind text NOT NULL CHECK (kind IN ('unknown_bank_entry', 'unmatched_ledger_movement')),
    account_id uuid NOT NULL REFERENCES accounts,
    line_id uuid UNIQUE REFERENCES statement_lines,
    version bigint,
    amount_minor bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'closed')),
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    UNIQUE (account_id, version),
    CHECK (num_nonnulls(line_id, version) = 1)
);

-- Evidence ----------------------------------------------------------------------------------------------------

CREATE TABLE log_leaves (
    programme_id uuid NOT NULL REFERENCES programmes,
    position bigint NOT NULL CHECK (position >= 0),
    transfer_id uuid NOT NULL UNIQUE,
    leaf_hash bytea NOT NULL CHECK (length(leaf_hash) = 32),
    PRIMARY KEY (programme_id, position)
);

CREATE TABLE checkpoints (
    programme_id uuid NOT NULL REFERENCES programmes,
    size bigint NOT NULL CHECK (size >= 0),
    root bytea NOT NULL CHECK (length(root) = 32),
    peaks bytea NOT NULL CHECK (length(peaks) % 32 = 0), -- the roots of the full subtrees, from which the log goes on
    note text NOT NULL,
    sealed_at timestamptz NOT NULL,
    PRIMARY KEY (programme_id, size)
);

CREATE TABLE exports (
    id uuid PRIMARY KEY,
    programme_id uuid NOT NULL REFERENCES programmes,
    state text NOT NULL CHECK (state IN ('requested', 'ready', 'failed')),
    directory text,
    detail text,
    requested_at timestamptz NOT NULL
);

-- The API's own -------------------------------------------------------------------------------------------------

CREATE TABLE idempotency_keys (
    client_id text NOT NULL,
    endpoint text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status int,
    body text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, endpoint, key)
);

CREATE TABLE test_clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    offset_us bigint NOT NULL
);

-- Append-only -----------------------------------------------------------------------------------------------------

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% holds facts: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

DO $$
DECLARE fact text;
BEGIN
    FOREACH fact IN ARRAY ARRAY[
        'accounts', 'transfers', 'further_legs', 'units', 'clearances', 'cases', 'line_steps', 'events',
        'payout_accounts', 'payout_account_verifications', 'payout_approvals', 'payout_screenings', 'statements', 'statement_lines', 'matches', 'log_leaves', 'checkpoints', 'sanctions_lists', 'sanctions_names'
    ] LOOP
        EXECUTE format(
            'CREATE TRIGGER %I_are_facts BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', fact, fact);
    END LOOP;
END $$;

-- Four eyes are two people's: whoever set an account is not the one who says that it is right.
CREATE FUNCTION refuse_own_verification() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM payout_accounts WHERE id = NEW.payout_account_id AND set_by = NEW.verified_by) THEN
        RAISE EXCEPTION 'payout account % was set by the same one', NEW.payout_account_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payout_accounts_are_verified_by_others BEFORE INSERT ON payout_account_verifications
    FOR EACH ROW EXECUTE FUNCTION refuse_own_verification();

-- Every transfer balances, whatever the code above the database believes: a leg is one amount, and both its accounts
-- are of one programme and one currency; and a transfer touches only accounts of its own programme. What authorises
-- it is there. One check a statement, however many rows it brings (what authorises thousands of transfers is mostly one
-- and the same). The joins look from what was added to what there is, row by row and by the index: a planner that has
-- not yet seen a table grow would rather read all of it.
CREATE FUNCTION refuse_unsound_transfers() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT programme_id, clearance_id, notice_id FROM added) AS named
        WHERE NOT EXISTS (SELECT FROM programmes WHERE id = named.programme_id)
            OR (named.clearance_id IS NOT NULL AND NOT EXISTS (
                SELECT FROM clearances WHERE id = named.clearance_id AND programme_id = named.programme_id
            ))
            OR (named.notice_id IS NOT NULL AND NOT EXISTS (SELECT FROM notices WHERE id = named.notice_id))
    ) THEN
        RAISE EXCEPTION 'a transfer names a clearance, a notice or a programme that is not there'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF EXISTS (
        SELECT FROM added
            LEFT JOIN accounts AS debit ON debit.number = added.debit_number
            LEFT JOIN accounts AS credit ON credit.number = added.credit_number
            LEFT JOIN accounts AS stepped ON stepped.number = added.step_number
        WHERE (added.debit_number IS NOT NULL AND (
                debit.programme_id = added.programme_id AND credit.programme_id = added.programme_id
                AND debit.currency = credit.currency
            ) IS NOT TRUE)
            OR (added.step_number IS NOT NULL AND (stepped.programme_id = added.programme_id) IS NOT TRUE)
    ) THEN
        RAISE EXCEPTION 'a transfer is on accounts of its own programme, and a leg of it joins two of one currency'
            USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT FROM added LEFT JOIN transfers AS named ON named.id = coalesce(added.hold_id, added.reverses_id)
        WHERE (added.hold_id IS NOT NULL OR added.reverses_id IS NOT NULL)
            AND (named.programme_id = added.programme_id AND CASE
                WHEN added.hold_id IS NOT NULL THEN named.kind = 'hold' ELSE named.kind IN ('post', 'capture')
            END) IS NOT TRUE
    ) THEN
        RAISE EXCEPTION 'a transfer names a hold, or a transfer to be reversed, that its programme does not have'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER transfers_are_sound AFTER INSERT ON transfers REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_unsound_transfers();

-- The same of the legs behind the first. They come with their transfer, in one transaction: none is ever added to one
-- that stands, and none stands alone.
CREATE FUNCTION refuse_unsound_legs() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added
            LEFT JOIN transfers ON transfers.id = added.transfer_id
            LEFT JOIN accounts AS debit ON debit.number = added.debit_number
            LEFT JOIN accounts AS credit ON credit.number = added.credit_number
        WHERE (
            transfers.xid = pg_current_xact_id() AND transfers.debit_number IS NOT NULL
            AND transfers.effective_at = added.effective_at AND transfers.recorded_at = added.recorded_at
            AND debit.programme_id = transfers.programme_id AND credit.programme_id = transfers.programme_id
            AND debit.currency = credit.currency
        ) IS NOT TRUE OR (added.leg > 2 AND NOT EXISTS (
            SELECT FROM further_legs AS one WHERE one.transfer_id = added.transfer_id AND one.leg = added.leg - 1
        ))
    ) THEN
        RAISE EXCEPTION
            'a further leg comes with its transfer, in its turn, and joins two accounts of its programme and of one currency'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER further_legs_are_sound AFTER INSERT ON further_legs REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_unsound_legs();

-- What was said about the past stays true: a horizon only rises, and what is sealed is sealed for good.
CREATE FUNCTION refuse_unsettling() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the past of % is settled', OLD.programme_id USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER horizons_only_rise BEFORE UPDATE ON horizons
    FOR EACH ROW WHEN (NEW.answered_until < OLD.answered_until) EXECUTE FUNCTION refuse_unsettling();
CREATE TRIGGER periods_stay_sealed BEFORE UPDATE ON periods
    FOR EACH ROW WHEN (OLD.state = 'sealed' AND NEW.state <> 'sealed') EXECUTE FUNCTION refuse_unsettling();

-- What was sent, and what became of it, is said once.
CREATE FUNCTION refuse_second_word() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.outcome IS NOT NULL AND NEW.outcome IS DISTINCT FROM OLD.outcome THEN
        RAISE EXCEPTION 'attempt % ended as %', OLD.id, OLD.outcome USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.request_body IS NOT NULL AND (NEW.request_body, NEW.signature, NEW.sent_at)
        IS DISTINCT FROM (OLD.request_body, OLD.signature, OLD.sent_at) THEN
        RAISE EXCEPTION 'attempt % was signed', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER attempts_say_it_once BEFORE UPDATE ON attempts
    FOR EACH ROW EXECUTE FUNCTION refuse_second_word();

-- What the enclave's log came to, as the enclave says it: whoever puts back the log, or this database, is seen by the other.
CREATE TABLE enclave_heads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    enclave text NOT NULL,
    count bigint NOT NULL CHECK (count > 0),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    kept_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX enclave_heads_latest ON enclave_heads (enclave, id);
CREATE TRIGGER enclave_heads_are_facts BEFORE UPDATE OR DELETE OR TRUNCATE ON enclave_heads
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What the custodians resolved about keys and approvers: documents that they signed. The enclave believes the signatures,
-- not this table.
CREATE TABLE key_resolutions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document text NOT NULL,
    signatures jsonb NOT NULL CHECK (jsonb_typeof(signatures) = 'object'),
    registered_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER key_resolutions_are_facts BEFORE UPDATE OR DELETE OR TRUNCATE ON key_resolutions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The keys among them, to look at: who signed for each, and until when it signs.
CREATE VIEW enclave_keys AS
SELECT item ->> 'key_id' AS key_id, item ->> 'algorithm' AS algorithm, item ->> 'sha256' AS sha256,
    item ->> 'public_key_pem' AS public_key_pem, (item ->> 'not_before')::timestamptz AS not_before,
    (COALESCE(retired.item_of ->> 'sign_until', item ->> 'sign_until'))::timestamptz AS sign_until,
    (COALESCE(retired.item_of ->> 'verify_until', item ->> 'verify_until'))::timestamptz AS verify_until,
    ARRAY(SELECT jsonb_object_keys(admitting.signatures) ORDER BY 1) AS signed_by,
    admitting.registered_at
FROM key_resolutions AS admitting
    CROSS JOIN jsonb_array_elements(admitting.document::jsonb -> 'items') AS item
    LEFT JOIN LATERAL (
        SELECT later AS item_of
        FROM key_resolutions AS retiring CROSS JOIN jsonb_array_elements(retiring.document::jsonb -> 'items') AS later
        WHERE later ->> 'kind' = 'retire_key' AND later ->> 'key_id' = item ->> 'key_id'
        ORDER BY retiring.id DESC LIMIT 1
    ) AS retired ON true
WHERE item ->> 'kind' = 'admit_key';

-- What the enclave may look at before it signs ------------------------------------------------------------------

-- The beneficiary is the newest account of the payout's party (or, of a sweep, of its programme). A payout to any other
-- account has no verification, and when the newest was set is when the beneficiary changed, wherever the payout goes.
CREATE VIEW enclave_payouts AS
SELECT 'pay_' || replace(payouts.id::text, '-', '') AS payout_id,
    'prg_' || replace(payouts.programme_id::text, '-', '') AS programme_id,
    payouts.state, payouts.rail, payouts.amount_minor, payouts.currency,
    payouts.creditor_name, payouts.creditor_iban, payouts.debtor_name, payouts.debtor_iban,
    payouts.end_to_end_id, payouts.remittance,
    clearances.order_canonical, payouts.order_digest, clearances.order_digest AS cleared_digest,
    (SELECT 'att_' || replace(attempts.id::text, '-', '') FROM attempts
        WHERE attempts.payout_id = payouts.id AND attempts.outcome IS NULL
        ORDER BY attempts.attempt_no DESC LIMIT 1) AS open_attempt_id,
    (SELECT count(*)::int FROM attempts
        WHERE attempts.payout_id = payouts.id AND attempts.outcome <> 'not_sent') AS attempts_possibly_sent,
    payouts.initiator,
    (SELECT min(verified_at) FROM payout_account_verifications
        WHERE payout_account_id = beneficiary.id AND beneficiary.iban = payouts.creditor_iban
            AND beneficiary.name = payouts.creditor_name) AS beneficiary_verified_at,
    beneficiary.set_at AS beneficiary_changed_at,
    greatest(clearances.screened_at, (SELECT max(screened_at) FROM payout_screenings
        WHERE payout_screenings.payout_id = payouts.id)) AS screened_at,
    -- Of more than the enclave reads, one more is enough for it to see.
    (SELECT coalesce(json_agg(json_build_object('approver_id', approver_id, 'signature', encode(signature, 'hex'))
        ORDER BY received_at), '[]')::text
        FROM (SELECT approver_id, signature, received_at FROM payout_approvals
            WHERE payout_approvals.payout_id = payouts.id ORDER BY received_at LIMIT 65) AS firsts) AS approvals
FROM payouts LEFT JOIN clearances ON clearances.order_digest = payouts.order_digest
    AND clearances.programme_id = payouts.programme_id
    AND clearances.order_kind IN ('payout', 'sweep')
LEFT JOIN LATERAL (
    SELECT id, name, iban, set_at FROM payout_accounts
    WHERE payout_accounts.programme_id = payouts.programme_id
        AND payout_accounts.party_id IS NOT DISTINCT FROM payouts.party_id
    ORDER BY set_at DESC, id DESC LIMIT 1
) AS beneficiary ON true;
