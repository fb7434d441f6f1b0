"""Whom we believe: decisions only. Knows ids, names and roles, no files and no wire."""
