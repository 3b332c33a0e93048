"""`python healthy.py /readyz`: exit status 0 when the gateway of this container answers 200.

The image has no curl. Not urllib: it would ask a proxy named in the environment for localhost.
"""

import http.client
import os
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["DETECT_PORT"]), timeout=3)
connection.request("GET", sys.argv[1])
sys.exit(connection.getresponse().status != 200)
