"""Contracts by package."""
