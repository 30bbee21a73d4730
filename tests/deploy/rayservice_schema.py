"""The fields of KubeRay's RayService, as a JSON Schema.

Source: the Go types of github.com/ray-project/kuberay, `ray-operator/apis/ray/v1` (rayservice_types.go at commit
0074129, raycluster_types.go at 026f143), from which its CRD is made. Written here because the CRD itself is a
megabyte, most of it Kubernetes' own types: pods' templates are checked against Kubernetes' schemas instead.
"""

from __future__ import annotations

from typing import Any

TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "integer", "minimum": 0}
YES_OR_NO: dict[str, Any] = {"type": "boolean"}
ANY_OBJECT: dict[str, Any] = {"type": "object"}
TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": TEXT}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


HEAD_GROUP = _object(
    {
        "serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]},
        "headService": ANY_OBJECT,
        "enableIngress": YES_OR_NO,
        "rayStartParams": TEXTS,
        "template": ANY_OBJECT,
    },
    "rayStartParams",
    "template",
)
WORKER_GROUP = _object(
    {
        "groupName": TEXT,
        "replicas": NUMBER,
        "minReplicas": NUMBER,
        "maxReplicas": NUMBER,
        "numOfHosts": NUMBER,
        "rayStartParams": TEXTS,
        "template": ANY_OBJECT,
        "scaleStrategy": ANY_OBJECT,
    },
    "groupName",
    "minReplicas",
    "maxReplicas",
    "rayStartParams",
    "template",
)
CLUSTER = _object(
    {
        "headGroupSpec": HEAD_GROUP,
        "workerGroupSpecs": {"type": "array", "items": WORKER_GROUP},
        "rayVersion": TEXT,
        "enableInTreeAutoscaling": YES_OR_NO,
        "autoscalerOptions": ANY_OBJECT,
        "headServiceAnnotations": TEXTS,
        "suspend": YES_OR_NO,
    },
    "headGroupSpec",
)
RAY_SERVICE = _object(
    {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayService"},
        "metadata": ANY_OBJECT,
        "spec": _object({"serveConfigV2": TEXT, "rayClusterConfig": CLUSTER, "serveService": ANY_OBJECT}),
    },
    "apiVersion",
    "kind",
    "metadata",
    "spec",
)
