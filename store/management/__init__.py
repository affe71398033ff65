"""What operators decided: versioned records, their indexes for discovery, and the audit."""
