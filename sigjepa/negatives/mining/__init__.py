"""Mining: which bodies the teacher puts close together."""
