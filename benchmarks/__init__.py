"""Speed, as ratios against a reference that runs in the same minute. Run with `make bench`."""
