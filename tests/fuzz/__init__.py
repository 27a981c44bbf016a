"""Every decoder of hostile bytes, fuzzed: some examples in `make test`, coverage-guided by `make fuzz`."""
