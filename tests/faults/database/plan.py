"""The troubles of the database that both the warehouse and the orchestrators' own records are in.

    connections      a client takes every connection that is free, and each that becomes free
    failover         the one address that all know cuts every connection, refuses new ones, then leads elsewhere
    full             every write to the orchestrator's own database fails with SQLSTATE 53100, disk_full
    timeout          a statement_timeout of the warehouse, while another session holds a lock that the loads need
    restored         the orchestrator's own database is put back as it was before the backfill, which has ended
    restored-midway  the same, as it was with two loads under way

The first four begin with two loads of the backfill under way. As many seconds later, they are over.
"""

from __future__ import annotations

CONNECTIONS, FAILOVER, FULL, TIMEOUT = "connections", "failover", "full", "timeout"
RESTORED, MIDWAY = "restored", "restored-midway"

TROUBLES = {
    CONNECTIONS: "no connection is free",
    FAILOVER: "failover to another address",
    FULL: "the records' disk is full",
    TIMEOUT: "statement_timeout",
    RESTORED: "records restored from before",
    MIDWAY: "records restored from the middle",
}
"""Each trouble, and what it is called on the page."""

LASTS_S = {CONNECTIONS: 30.0, FAILOVER: 10.0, FULL: 20.0, TIMEOUT: 5.0}
"""How long a trouble lasts that ends by itself."""

STATEMENT_TIMEOUT_MS = 200
"""Longer than any statement of these loads, 400 rows a month, and shorter than a wait for a lock that is held."""
