"""The secure computation: arrays and bytes in, arrays and bytes out; no files, sockets, clocks or logs."""
