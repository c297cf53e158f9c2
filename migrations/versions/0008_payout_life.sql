ALTER TABLE payouts
    ADD COLUMN send_at timestamptz,
    ADD COLUMN due_at timestamptz,
    ADD COLUMN returned_minor bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT payouts_state_check,
    ADD CONSTRAINT payouts_state_check CHECK (state IN (
        'scheduled', 'pending_approval', 'held', 'queued', 'submitted', 'accepted', 'in_transit', 'unknown',
        'settled', 'partly_returned', 'returned', 'rejected', 'cancelled'
    )),
    ADD CONSTRAINT payouts_scheduled_for_a_time CHECK (state <> 'scheduled' OR due_at IS NOT NULL),
    ADD CONSTRAINT payouts_return_what_was_sent CHECK (returned_minor BETWEEN 0 AND amount_minor);

GRANT UPDATE (due_at, returned_minor) ON payouts TO tallystick_app;

DROP INDEX payouts_by_state;
CREATE INDEX payouts_by_state ON payouts (state) WHERE state IN (
    'scheduled', 'pending_approval', 'held', 'queued', 'submitted', 'accepted', 'in_transit', 'unknown'
);
CREATE INDEX payouts_scheduled ON payouts (due_at) WHERE state = 'scheduled';
