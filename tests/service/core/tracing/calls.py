"""Requests with and without a trace of the caller's."""

import httpx

from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
PREDICT = "tensorflow.serving.PredictionService/Predict"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}


def detect(gateway: GatewayProcess, path: str = "/detect", **headers: str) -> httpx.Response:
    headers["Content-Type"] = "image/jpeg"
    return gateway.http.post(path, content=picture(), headers=headers)
