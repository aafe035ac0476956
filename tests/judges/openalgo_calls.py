"""The unmodified openalgo SDK's REST client. Runs in ``.venv-openalgo``.

usage: openalgo_calls.py HOST API_KEY '[["method", {"argument": …}], …]'; prints what they returned.
"""

import json
import sys

from openalgo import api

host, key, calls = sys.argv[1:]
client = api(api_key=key, host=host, timeout=30.0)
print(json.dumps([getattr(client, name)(**arguments) for name, arguments in json.loads(calls)], default=str))
