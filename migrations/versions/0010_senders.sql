-- 0: of nobody any more. An older release had no senders; its workers have ended before this one's begin.
ALTER TABLE attempts ADD COLUMN sender bigint NOT NULL DEFAULT 0;
GRANT UPDATE (sender) ON attempts TO tallystick_app;
CREATE INDEX attempts_open ON attempts (sender) WHERE outcome IS NULL;

CREATE INDEX payouts_queued ON payouts (id) WHERE state = 'queued';
DROP INDEX payouts_scheduled;
CREATE INDEX payouts_due ON payouts (due_at) WHERE state IN ('scheduled', 'pending_approval');
