"""A file becomes a published month: one transaction that writes its rows and its ledger row, or nothing."""

from core.load.order import Load, Loaded
from core.load.reading import batches
from core.load.strategies import STRATEGIES, Strategy, strategy
from core.load.transaction import begin, load

__all__ = ["STRATEGIES", "Load", "Loaded", "Strategy", "batches", "begin", "load", "strategy"]
