-- The same view, by which a payout is found without looking at every other one: by its id as it is kept (the last column),
-- and its beneficiary by programme and party, whether there is a party or not.
CREATE OR REPLACE VIEW enclave_payouts AS
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
            WHERE payout_approvals.payout_id = payouts.id ORDER BY received_at LIMIT 65) AS firsts) AS approvals,
    payouts.id
FROM payouts LEFT JOIN clearances ON clearances.order_digest = payouts.order_digest
    AND clearances.programme_id = payouts.programme_id
    AND clearances.order_kind IN ('payout', 'sweep')
LEFT JOIN LATERAL (
    (SELECT id, name, iban, set_at FROM payout_accounts
        WHERE payout_accounts.programme_id = payouts.programme_id AND payout_accounts.party_id = payouts.party_id
        ORDER BY set_at DESC, id DESC LIMIT 1)
    UNION ALL
    (SELECT id, name, iban, set_at FROM payout_accounts
        WHERE payout_accounts.programme_id = payouts.programme_id
            AND payout_accounts.party_id IS NULL AND payouts.party_id IS NULL
        ORDER BY set_at DESC, id DESC LIMIT 1)
) AS beneficiary ON true;
