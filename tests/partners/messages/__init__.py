"""What is written validates against the official schemas, says what was asked, and nothing else."""
