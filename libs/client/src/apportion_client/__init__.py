"""A client of the five services: what the command line, the checklist and end-to-end tests share."""
