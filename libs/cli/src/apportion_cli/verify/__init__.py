"""The comparison of a scenario's expected figures with what the services say, figure by figure."""
