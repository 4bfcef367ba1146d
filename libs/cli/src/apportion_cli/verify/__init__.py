"""The comparison of a scenario's expected figures with what the services print_line, figure by figure."""
