"""The invariants of the book as questions to the database: each finds the rows that break it.

The number before each is its number in docs/INVARIANTS.md.
"""

import sqlalchemy as sa

_BOOKED = """
    WITH ours AS (
        SELECT accounts.*, status, debits_minor, credits_minor, held_minor, version, recorded_at
        FROM accounts JOIN standings USING (number) WHERE programme_id = ANY(:programmes)
    ),
    facts AS (SELECT * FROM transfers WHERE programme_id = ANY(:programmes)),
    booked AS (
        SELECT entries.*, ours.id AS account_id, ours.programme_id, ours.currency, ours.side,
            min_available_minor, max_balance_minor,
            CASE movement WHEN 'debit' THEN amount_minor WHEN 'credit' THEN -amount_minor ELSE 0 END AS signed_minor
        FROM entries JOIN ours ON ours.number = entries.account_number
    ),
    moved AS (
        SELECT legs.*, debit.programme_id, debit.currency, credit.programme_id AS credit_programme_id,
            credit.currency AS credit_currency, debit.id AS debit_id, credit.id AS credit_id,
            debit.side AS debit_side, credit.side AS credit_side
        FROM legs JOIN accounts AS debit ON debit.number = debit_number
            JOIN accounts AS credit ON credit.number = credit_number
        WHERE debit.programme_id = ANY(:programmes) OR credit.programme_id = ANY(:programmes)
    ),
    stepped AS (
        SELECT account_steps.*, ours.id AS account_id FROM account_steps JOIN ours ON ours.number = account_number
    )
"""
_BREACHES = {
    "1 a transfer does not balance": """
        SELECT transfer_id::text FROM booked GROUP BY transfer_id, currency HAVING sum(signed_minor) <> 0""",
    "1 a leg crosses programmes or currencies": """
        SELECT transfer_id::text FROM moved
        WHERE (programme_id, currency) <> (credit_programme_id, credit_currency)""",
    "1 a transfer has more than one instant": """
        SELECT transfer_id::text FROM booked GROUP BY transfer_id
        HAVING count(DISTINCT recorded_at) <> 1 OR count(DISTINCT effective_at) <> 1""",
    "1 a movement is not of its transfer": """
        SELECT booked.transfer_id::text FROM booked LEFT JOIN facts ON facts.id = booked.transfer_id
        WHERE (facts.programme_id, facts.recorded_at, facts.effective_at)
            IS DISTINCT FROM (booked.programme_id, booked.recorded_at, booked.effective_at)""",
    "1 a transfer has not the movements of its kind": """
        SELECT facts.id::text FROM facts
            LEFT JOIN (
                SELECT transfer_id, count(*) AS count, max(leg) AS last FROM moved GROUP BY transfer_id
            ) AS legged ON legged.transfer_id = facts.id
            LEFT JOIN (
                SELECT transfer_id, string_agg(movement, ' ') AS movements FROM stepped GROUP BY transfer_id
            ) AS alone ON alone.transfer_id = facts.id
        WHERE (kind IN ('post', 'capture', 'reverse')) IS DISTINCT FROM (coalesce(legged.count, 0) > 0)
            OR legged.last <> legged.count
            OR alone.movements IS DISTINCT FROM CASE
                WHEN kind IN ('post', 'reverse') THEN NULL
                WHEN kind = 'increase' THEN 'hold'
                WHEN kind IN ('capture', 'expire') THEN 'release'
                ELSE kind END""",
    "2 a limit is passed": """
        SELECT account_id::text FROM (
            SELECT *, (CASE side WHEN 'debit' THEN 1 ELSE -1 END) * (debits_after_minor - credits_after_minor)
                AS posted_minor,
                row_number() OVER (PARTITION BY account_id, transfer_id ORDER BY version DESC) AS nth
            FROM booked
        ) AS after WHERE nth = 1
            AND (posted_minor - held_after_minor < min_available_minor OR posted_minor > max_balance_minor)""",
    "2 the status is not that of the last step": """
        SELECT ours.id::text FROM ours LEFT JOIN LATERAL (
            SELECT movement FROM stepped WHERE account_id = ours.id AND movement NOT IN ('hold', 'release')
            ORDER BY version DESC LIMIT 1
        ) AS last ON true
        WHERE status IS DISTINCT FROM CASE last.movement
            WHEN 'open' THEN 'open' WHEN 'unfreeze' THEN 'open' WHEN 'freeze' THEN 'frozen'
            WHEN 'close' THEN 'closed' END""",
    "2 a frozen account gave, or a closed one moved": """
        SELECT account_id::text FROM (
            SELECT *, max(version) FILTER (WHERE movement = 'freeze') OVER history AS frozen,
                max(version) FILTER (WHERE movement = 'unfreeze') OVER history AS thawed,
                max(version) FILTER (WHERE movement = 'close') OVER history AS closed
            FROM booked WINDOW history AS (
                PARTITION BY account_id ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            )
        ) AS told
        WHERE closed IS NOT NULL
            OR (frozen > coalesce(thawed, 0)
                AND (movement = 'hold' OR movement = CASE side WHEN 'debit' THEN 'credit' ELSE 'debit' END))""",
    "4 versions have gaps": """
        SELECT ours.id::text FROM ours LEFT JOIN booked ON booked.account_id = ours.id
        GROUP BY ours.id, ours.version
        HAVING count(booked.version) <> ours.version OR count(DISTINCT booked.version) <> ours.version
            OR coalesce(max(booked.version), 0) <> ours.version""",
    "4 an account does not begin with its opening": """
        SELECT account_id::text FROM booked WHERE (version = 1) <> (movement = 'open')""",
    "4 recorded time runs backwards": """
        SELECT account_id::text FROM (
            SELECT account_id, recorded_at,
                lag(recorded_at) OVER (PARTITION BY account_id ORDER BY version) AS before FROM booked
        ) AS steps WHERE recorded_at < before""",
    "4 an account was last seen at another time": """
        SELECT ours.id::text FROM ours JOIN booked ON booked.account_id = ours.id AND booked.version = ours.version
        WHERE booked.recorded_at <> ours.recorded_at""",
    "4 a reversal is not of a transfer that moved as much": """
        SELECT undone.id::text FROM facts AS undone
            LEFT JOIN facts AS original ON original.id = undone.reverses_id AND original.kind IN ('post', 'capture')
        WHERE undone.kind = 'reverse' AND (original.id IS NULL OR EXISTS (
            SELECT FROM (
                SELECT debit_id, credit_id, sum(amount_minor) AS minor FROM moved
                WHERE transfer_id = undone.id GROUP BY debit_id, credit_id
            ) AS back WHERE minor > coalesce((
                SELECT sum(amount_minor) FROM moved AS there WHERE there.transfer_id = original.id
                    AND (there.debit_id, there.credit_id) = (back.credit_id, back.debit_id)
            ), 0)
        ))""",
    "6 the counters do not sum to zero": """
        SELECT programme_id::text FROM ours GROUP BY programme_id, currency
        HAVING sum(debits_minor - credits_minor) <> 0""",
    "6 the book did not sum to zero at a past instant": """
        SELECT programme_id::text FROM (
            SELECT programme_id, sum(sum(signed_minor)) OVER (
                PARTITION BY programme_id, currency ORDER BY recorded_at
            ) AS total FROM booked GROUP BY programme_id, currency, recorded_at
        ) AS instants WHERE total <> 0""",
    "6 the book did not sum to zero at a value date": """
        SELECT programme_id::text FROM (
            SELECT programme_id, sum(sum(signed_minor)) OVER (
                PARTITION BY programme_id, currency ORDER BY effective_at
            ) AS total FROM booked GROUP BY programme_id, currency, effective_at
        ) AS dates WHERE total <> 0""",
    "7 what is held is not what the holds say": """
        SELECT ours.id::text FROM ours LEFT JOIN holds ON holds.account_id = ours.id
        GROUP BY ours.id, held_minor
        HAVING held_minor <> coalesce(sum(amount_minor - captured_minor - released_minor), 0)""",
    "7 a hold is not what its movements make it": """
        SELECT holds.transfer_id::text FROM holds
            LEFT JOIN facts ON holds.transfer_id IN (facts.id, facts.hold_id)
            LEFT JOIN stepped ON stepped.transfer_id = facts.id
        WHERE holds.programme_id = ANY(:programmes)
        GROUP BY holds.transfer_id
        HAVING holds.amount_minor <> coalesce(sum(stepped.amount_minor) FILTER (WHERE movement = 'hold'), 0)
            OR captured_minor + released_minor
                <> coalesce(sum(stepped.amount_minor) FILTER (WHERE movement = 'release'), 0)
            OR captured_minor <> coalesce((
                SELECT sum(moved.amount_minor) FROM moved JOIN facts AS taken ON taken.id = moved.transfer_id
                WHERE taken.hold_id = holds.transfer_id
            ), 0)
            OR bool_or(stepped.account_id <> holds.account_id)""",
    "7 a capture does not draw on what is held": """
        SELECT moved.transfer_id::text FROM moved
            JOIN facts ON facts.id = moved.transfer_id AND kind = 'capture'
            JOIN holds ON holds.transfer_id = facts.hold_id
        WHERE NOT (debit_side = 'credit' AND debit_id = holds.account_id
            OR credit_side = 'debit' AND credit_id = holds.account_id)""",
    "7 the last entry is not what the counters say": """
        SELECT ours.id::text FROM ours JOIN booked ON booked.account_id = ours.id
            AND booked.version = ours.version
        WHERE (debits_after_minor, credits_after_minor, held_after_minor)
            IS DISTINCT FROM (debits_minor, credits_minor, held_minor)""",
    "7 an entry's counters do not follow from its movements": """
        SELECT account_id::text FROM (
            SELECT *,
                sum(amount_minor) FILTER (WHERE movement = 'debit') OVER history AS debits,
                sum(amount_minor) FILTER (WHERE movement = 'credit') OVER history AS credits,
                sum(CASE movement WHEN 'hold' THEN amount_minor WHEN 'release' THEN -amount_minor END)
                    OVER history AS held
            FROM booked WINDOW history AS (PARTITION BY account_id ORDER BY version)
        ) AS running
        WHERE (debits_after_minor, credits_after_minor, held_after_minor)
            IS DISTINCT FROM (coalesce(debits, 0), coalesce(credits, 0), coalesce(held, 0))""",
}
BREACHES_QUERY = sa.text(
    _BOOKED
    + " UNION ALL ".join(
        f"SELECT '{name.replace(chr(39), chr(39) * 2)}' AS breach, subject FROM ({query}) AS found(subject)"
        for name, query in _BREACHES.items()
    )
).bindparams(sa.bindparam("programmes", type_=sa.ARRAY(sa.Uuid())))
