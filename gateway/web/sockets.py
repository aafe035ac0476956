"""Flask-SocketIO's server without its clients.

engineio loads its clients with its server, and one of them loads aiohttp: 90 ms and 6 MB of every api process
for something that is never used. It goes on when aiohttp is not there, so for that moment it is not.
"""

from __future__ import annotations

import sys

_hidden = "aiohttp" not in sys.modules
if _hidden:
    sys.modules["aiohttp"] = None  # type: ignore[assignment] # Python's own mark of "cannot be imported"
try:
    from flask_socketio import SocketIO as SocketIO
    from flask_socketio import join_room as join_room
finally:
    if _hidden:
        del sys.modules["aiohttp"]
