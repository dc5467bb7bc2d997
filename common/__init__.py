"""What every tool of the project shares: errors, files, processes, tables, workloads, launching, provenance."""
