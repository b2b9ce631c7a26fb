"""Running a command for somebody: its output passed on as it is, and enough of it kept to explain its end."""
