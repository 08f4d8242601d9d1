"""examples/kubernetes: valid by Kubernetes' own schemas, and true of the server that it starts."""

import re

import pytest
from support.control import Control
from support.examples import example, option, replaced
from support.wire import Connection

#: Seconds that Python may take to end the main interpreter beyond --graceful-timeout (docs/operations.md).
FINALIZATION = 3

#: Seconds after which the server says that its reactor does not turn: a probe must not give up before.
TURN = 2


@pytest.fixture(scope="module")
def yaml():
    return pytest.importorskip("yaml", reason="NOT TESTED: no PyYAML here; cure: pip install --group test")


@pytest.fixture(scope="module")
def deployment(yaml):
    return next(one for one in yaml.safe_load_all(example("kubernetes/deployment.yaml")) if one["kind"] == "Deployment")


@pytest.fixture(scope="module")
def container(deployment):
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize("name", ["deployment.yaml", "service.yaml"])
def test_kubernetes_own_schemas_take_it(yaml, name):
    validate = pytest.importorskip(
        "kubernetes_validate", reason="NOT TESTED: no kubernetes-validate here; cure: pip install --group test"
    )
    documents = list(yaml.safe_load_all(example(f"kubernetes/{name}")))
    assert documents
    for document in documents:
        # Strict: a key that is misspelt is no other key.
        validate.validate(document, validate.latest_version(), strict=True)


def test_the_schemas_refuse_what_is_misspelt(yaml):
    validate = pytest.importorskip("kubernetes_validate", reason="NOT TESTED: no kubernetes-validate here")
    text = replaced(example("kubernetes/deployment.yaml"), ("terminationGracePeriodSeconds", "gracePeriodSeconds"))
    with pytest.raises(validate.ValidationError):
        validate.validate(next(iter(yaml.safe_load_all(text))), validate.latest_version(), strict=True)


def test_the_parts_find_each_other(yaml, deployment, container):
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (service,) = yaml.safe_load_all(example("kubernetes/service.yaml"))
    (budget,) = [
        one for one in yaml.safe_load_all(example("kubernetes/deployment.yaml")) if one["kind"] == "PodDisruptionBudget"
    ]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        budget["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    assert option(container["args"], "bind") == f"0.0.0.0:{ports['http']}"
    assert option(container["args"], "probes") == f"0.0.0.0:{ports['probes']}"
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert any(option(container["args"], "control").startswith(f"unix:{mount}/") for mount in mounts)


def test_kubernetes_waits_longer_than_the_server_takes_to_end(deployment, container):
    (word, delay) = container["lifecycle"]["preStop"]["exec"]["command"]
    assert word == "sleep"
    graceful = float(option(container["args"], "graceful-timeout"))
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > float(delay) + graceful + FINALIZATION


def test_a_probe_gives_up_after_the_server_does(container):
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["timeoutSeconds"] > TURN
    patience = float(re.search(r"patience=(\d+)$", container["livenessProbe"]["httpGet"]["path"]).group(1))
    assert patience > float(option(container["args"], "timeout"))


def probe(container, kind, address):
    """As the kubelet does: it names the pod by its address, and takes 200 to 399 for well."""
    asked = container[kind]["httpGet"]
    assert asked["port"] == "probes"
    with Connection(address) as connection:
        return connection.request("GET", asked["path"], [("Host", "10.1.2.3:8081"), ("User-Agent", "kube-probe/1.34")])


def test_the_command_serves_and_answers_its_probes(server, container, tmp_path, gate):
    words = replaced(
        "\n".join(container["args"]),
        ("0.0.0.0:8080", "127.0.0.1:0"),
        ("0.0.0.0:8081", "127.0.0.1:0"),
        ("/run/chaussette/control", tmp_path / "control"),
        ("app:app", "apps.waits_on_import:app"),
    ).split("\n")
    here = gate()
    site = server(None, "--interpreters", "1", *words, listen=None, env={"GATE": here.path}, wait=False)
    host, port = site.wait_for_log(r"\] Probes on (\S+):(\d+)$").groups()
    here.wait()
    # It imports: alive, and not yet ready.
    assert probe(container, "startupProbe", (host, int(port))).status == 503
    assert probe(container, "livenessProbe", (host, int(port))).status == 200
    here.open()
    site.wait_ready()
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert probe(container, kind, (host, int(port))).status == 200
    control = Control(f"unix:{tmp_path}/control", site)
    assert control.status["ready"]
    with Connection((host, int(port))) as connection:
        assert connection.request("POST", "/stop", [("Host", "10.1.2.3")]).status == 404
    assert site.running
