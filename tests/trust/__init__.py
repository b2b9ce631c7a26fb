"""The lines of SECURITY.md, held one by one."""
