"""The fleet page: every instance of a home on one page, in a process of its own (``console``).

- ``app`` builds and runs it, ``config`` is the file the supervisor hands it, ``owner`` its one account.
- ``gather`` asks the supervisor and each api over loopback, ``judge`` (pure) says what is shown of it and how
  bad it is, ``watch`` does that once a second for however many tabs, and not at all for none.
- ``actions`` starts, stops, logs in and panics by the rules of the commands of the same names.
- ``pages`` are the routes for people, ``api`` those for scripts. Both stand on ``gateway.pagekit``.

Templates and static files are those of the instances' pages (``gateway/web``, by path, nothing imported) with
ours laid over them: a file of ours stands in for one of the same name. So the design system, the tables and
the dialogs are the same; ``lib/live.js`` and ``lib/shell.js`` speak to this server instead of an instance.

Pushes are Server-Sent Events, not Socket.IO: everything flows one way, a browser reconnects by itself, and it
spares the page 40 KB of client and this process a library. A hidden tab lets go of its stream, because a
browser opens only six connections to one server.
"""
