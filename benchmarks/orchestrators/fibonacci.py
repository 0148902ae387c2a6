"""The work of a task in a chain. It is a program too, for the lines without an orchestrator.

python -m benchmarks.orchestrators.fibonacci NUMBER
"""

import sys


def fibonacci(number: int) -> int:
    """Return a Fibonacci number, slowly: the recursion is the work."""
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


if __name__ == "__main__":
    fibonacci(int(sys.argv[1]))
