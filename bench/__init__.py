"""Load runs and side-by-side comparisons (`make bench`); figures are CPU per operation."""
