"""The machine: agents' mailboxes, the graph, the gate, the outbox, the supervisor. Ray lives here."""
