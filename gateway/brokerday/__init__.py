"""What an instance does by the calendar: rollover, instruments, the open, its address."""
