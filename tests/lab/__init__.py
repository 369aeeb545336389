"""Booted hosts to test on."""
