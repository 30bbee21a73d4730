"""The manifests for Kubernetes are valid, and what they say of the server is true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from hf_asr_endpoint.api.app import LAST_RESPONSES_S
from hf_asr_endpoint.api.operations import PATHS
from hf_asr_endpoint.config import Settings, flag_of, variable_of
from tests.deploy.rayservice_schema import RAY_SERVICE

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
KUBERNETES = "1.34"
"""The version whose schemas are used."""


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def document(name: str, kind: str) -> dict[str, Any]:
    return next(found for found in documents(name) if found["kind"] == kind)


def serve_configuration() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(document("rayservice.yaml", "RayService")["spec"]["serveConfigV2"])
    return found


def check(found: dict[str, Any]) -> None:
    kubernetes_validate.validate(found, KUBERNETES, strict=True)


def environment_and_flags(container: dict[str, Any]) -> list[str]:
    names = [entry["name"] for entry in container.get("env", ())]
    return [*names, *(text for text in container.get("args", ()) if text.startswith("--"))]


def test_the_plain_manifests_are_valid() -> None:
    found = documents("kubernetes.yaml")
    assert [entry["kind"] for entry in found] == [
        *("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget")
    ]
    for entry in found:
        check(entry)


def test_an_invalid_manifest_is_noticed() -> None:
    broken = document("kubernetes.yaml", "Deployment")
    broken["spec"]["template"]["spec"]["containers"][0]["livenessProbes"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        check(broken)


def test_the_ray_service_is_valid() -> None:
    service = document("rayservice.yaml", "RayService")
    jsonschema.validate(service, RAY_SERVICE)
    cluster = service["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": group["template"]["spec"]}
        check(pod)


def test_ray_serve_reads_the_ray_services_configuration() -> None:
    schema = pytest.importorskip("ray.serve.schema", reason="Ray is not installed")
    (application,) = schema.ServeDeploySchema.model_validate(serve_configuration()).applications
    assert (application.name, application.route_prefix) == ("hf-asr", "/")


def test_the_ray_services_arguments_are_settings() -> None:
    (application,) = serve_configuration()["applications"]
    assert application["import_path"] == "hf_asr_endpoint.ray_serve:app"
    assert set(application["args"]) <= set(Settings.model_fields)
    Settings.model_validate(application["args"])


def test_the_deployment_uses_settings_and_paths_that_exist() -> None:
    (container,) = document("kubernetes.yaml", "Deployment")["spec"]["template"]["spec"]["containers"]
    known = {name(field) for field in Settings.model_fields for name in (flag_of, variable_of)}
    assert set(environment_and_flags(container)) <= known
    paths = {endpoint.path for endpoint in PATHS.endpoints}
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        assert container[probe]["httpGet"]["path"] in paths


def test_a_pod_has_the_time_that_its_server_takes_to_stop() -> None:
    pod = document("kubernetes.yaml", "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (_, seconds) = container["lifecycle"]["preStop"]["exec"]["command"]
    shutdown = next(e["value"] for e in container["env"] if e["name"] == variable_of("shutdown_timeout_s"))
    assert pod["terminationGracePeriodSeconds"] > int(seconds) + 2 * int(shutdown) + LAST_RESPONSES_S


def test_kubernetes_makes_no_variables_that_look_like_settings() -> None:
    """Of a Service `hf-asr` it makes HF_ASR_PORT=tcp://…, and the server refuses to start."""
    cluster = document("rayservice.yaml", "RayService")["spec"]["rayClusterConfig"]
    owners = [document("kubernetes.yaml", "Deployment")["spec"], cluster["headGroupSpec"]]
    for owner in (*owners, *cluster["workerGroupSpecs"]):
        assert owner["template"]["spec"]["enableServiceLinks"] is False


def test_selectors_find_the_pods() -> None:
    deployment, service = document("kubernetes.yaml", "Deployment"), document("kubernetes.yaml", "Service")
    budget = document("kubernetes.yaml", "PodDisruptionBudget")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    scaled = document("kubernetes.yaml", "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", deployment["metadata"]["name"])
