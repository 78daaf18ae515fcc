"""One file per section of the audit's page: a measure of all networks, its numbers, tables and figures."""
