"""The bank's database: every SQL statement of the bank stands in this package."""
