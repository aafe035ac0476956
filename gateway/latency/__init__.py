"""How long orders take here, and how often they fail: what brokers are compared by.

Every order, modify and cancel that was journaled leaves one row of stage times in the instance's latency
database (``LATENCY_DATABASE_URL``), written behind the order: the desk appends a value to a bounded queue, a
thread of its own commits once a second. An order never waits for it and never fails with it; ``kill -9``
loses at most the last second, a full queue drops and counts. Orders of the sandbox are not in it: no broker
took them.

**Clock.** Stages are nanoseconds of the host's monotonic clock, counted from ``received``. The journal and
the adapters stamp wall time, so a stamp is moved over by the difference of the two clocks, which changes only
when somebody sets the wall clock: a request over which it changed is marked (``CLOCK_SET``) and none of its
durations count. An order that outlives the api process is marked (``RESTARTED``) and gets no more stages. A
duration is always the difference of two stamps that were taken, never what is left of a total.

**Probes.** An order belongs to a probe when its strategy is ``compare``; its ``client_order_id`` is the probe
id. Give the same id to the orders of all instances that are sent as one pair; modify and cancel inherit it.

**Browser.** ``POST /web/api/timings`` (web session and form token, as every page endpoint)::

    {"timings": [{"orderid": "1126…", "kind": "click_acknowledged", "ms": 41.7}, …]}

``kind``: ``click_acknowledged`` (click to the broker's order id in the page), ``click_drawn`` (click to the
line on the chart), ``cancel_gone`` (cancel click to the line gone). ``ms``: of ``performance.now()``, 0 to
60,000. 1 to 50 at a time. Answer: ``{"status": "success", "kept": 2, "dropped": 0}``. Only an order sent by
this instance within the last 24 hours counts, once for each kind, 20,000 a day in all; what does not count is
dropped, and a malformed body is a 400. These figures stand beside the gateway's own, never among them: a page
can lie.
"""
