"""A file becomes a published month: one transaction that writes its rows and its ledger row, or nothing."""

from core.load.transaction import STRATEGIES, Load, Loaded, Strategy, batches, begin, load, strategy

__all__ = ["STRATEGIES", "Load", "Loaded", "Strategy", "batches", "begin", "load", "strategy"]
