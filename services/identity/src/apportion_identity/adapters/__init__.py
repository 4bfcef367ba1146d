"""What reaches outside of the own database: DNS, issuers, orgs, files."""
