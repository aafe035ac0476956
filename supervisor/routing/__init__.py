"""The route ``best``: one address for orders, many instances behind it; a process, off unless named.

- ``choose`` (pure) turns how the instances stand into a decision, by the policy of ``compare.route``.
- ``forward`` carries one order: decision on disk, sent once to that instance, its answer on disk, answered.
  An answer that does not come is asked for; the order is never sent again and never to another instance.
- ``verdict`` (pure) says what an answer proves; ``journal`` is the SQLite file of decisions and answers.
- ``link`` speaks to the instances' ``/internal/routed``, ``watch`` knows their feeds and medians.
- ``books`` (pure) puts answers of several instances together; ``api`` and ``app`` are the HTTP side.
- ``keys`` are the route's own API keys: a key of one instance does not trade on another by way of the route.
"""
