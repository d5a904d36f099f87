"""Tests of ws."""
