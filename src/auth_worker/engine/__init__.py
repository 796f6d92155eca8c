"""The actors that work one queue: they fetch jobs, run them, settle their outcomes and keep their leases."""
