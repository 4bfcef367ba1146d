"""gRPC, the same for all services: server, clients, who calls, and what a rejection looks like."""
