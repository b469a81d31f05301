"""Tests of the harness itself, without a gateway."""
