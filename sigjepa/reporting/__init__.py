"""Reading run directories back: tables and curves."""
