"""The SMTP gateway: mail's own way in."""
