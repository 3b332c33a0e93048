"""`python healthy.py /readyz`: exit status 0 if the gateway in this container returns 200.

The image has no curl. Not urllib, which would use a proxy from the environment.
"""

import http.client
import os
import sys

host = os.environ["DETECT_HOST"]
loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
connection = http.client.HTTPConnection(loopback, int(os.environ["DETECT_PORT"]), timeout=3)
connection.request("GET", sys.argv[1])
sys.exit(connection.getresponse().status != 200)
