// Validates custom resources, a JSON array on standard input, by the schemas of their CRDs.
import { readFileSync } from "node:fs";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1";
import { PodMonitor, PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const kinds = { ScaledObject, PodMonitor, PrometheusRule };
for (const resource of JSON.parse(readFileSync(0, "utf8"))) {
  new kinds[resource.kind](resource).validate();
  console.log(`${resource.kind} ${resource.metadata.name}`);
}
