"""The pages of one instance.

How they are built, for whoever adds one:

- ``shell.py``: ``Web`` (what pages are built from), ``show(web, template, module="pages/x.js",
  first={...})``, ``signed_in``, ``NAVIGATION`` (one line per page). A page is a module with
  ``add_routes(pages, web)`` called in ``pages.blueprint``, a template that extends ``base.html`` with
  ``<div id="app">`` holding what is shown before or without the script, and ``static/pages/x.js``.
  ``first`` reaches the script as ``first()``.
- What the fleet page has in common with these is in ``gateway.pagekit``: ``frame`` (``show``, form token,
  limits, files, colours) and ``doors`` (owner account, sign-in, sign-out); its templates extend ours.
- ``pageapi.py``: ``/web/api/*`` for scripts: session cookie and form token, never the API key.
  ``call/<path>`` is every ``/api/v1`` endpoint under the session (schemas, handlers, mode); own routes take
  ``web.now()`` once and use the services in it. Nothing is computed twice. ``live.py``: Socket.IO events
  (``state`` each second, ``books`` on change, ``order_update`` at once, ``live.tell(event, body)`` for
  anything else); ``dayline.py``: the P&L line.
- ``static/lib``: ``ui.js`` (preact, htm, signals, ``mount``, ``first``), ``api.js`` (``get post call``,
  throws ``ApiError``), ``live.js`` (signals ``state books link now``, ``on(event, handler)``), ``feed.js``
  (``hold(exchange, symbol, mode)`` -> release, ``tick(...)`` a signal, ten repaints a second at most),
  ``table.js`` (``Table``: filter, sort, sum row, keys, CSV, windowed, stable order), ``widgets.js`` (``Card
  Facts Age Tabs confirm note tried``), ``chart.js`` (uPlot ``Line``; only where it is needed), ``fmt.js``,
  ``shell.js`` (the frame; every page imports it).
- A field somebody fills in has ``defaultValue`` or ``defaultChecked``: ``value`` would be set again whenever
  its form is drawn again, and what was typed would be gone.
- ``static/style.css``: one design system in variables, light and dark by ``light-dark()``; no ``style``
  attribute in templates (the policy forbids it; scripts may set ``element.style``).
- ``assets.py`` serves ``static`` under a build number, gzipped, for good; ``scripts/vendor_assets``
  refreshes the vendored files and their manifest. ``lightweight-charts`` needs ``layout.attributionLogo:
  false`` (its logo is inline code) and a visible link to https://www.tradingview.com/ on the page that uses
  it, as its licence asks.
- The policy: no inline code, no eval, trusted types ``none``; connections only to this host's own port and
  the feed's. Tickets for the feed: ``gateway/tickets.py``.
"""
