"""What banks and we write to each other, as bytes in and values out: it knows no bank, no host and no network."""
