-- A log goes on from these peaks, and the enclave reads no more of them. Not of what stands there already: that cannot be
-- taken away, and neither the ledger nor the enclave goes on from it.
ALTER TABLE checkpoints ADD CONSTRAINT checkpoints_have_peaks_of_their_size
    CHECK (length(peaks) = 32 * bit_count(size::bit(64))) NOT VALID;
