"""The tables of the ledger's database."""
