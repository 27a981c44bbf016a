"""Everything impure: nodes and coordinator, identity, transport, storage, files, the command line."""
