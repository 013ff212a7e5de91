"""Many operations, cycles of opening and closing, threads, tasks and forks on one store: what grows with them?

``python -m tests.soak [sqlite] [memory] [redis] [couchdb] [mongo] --operations 1000000 --cycles 10000``
"""
