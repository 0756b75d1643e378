"""Students: from signature states to a predicted body."""
