"""The engines: what starts each, and the options that lead a job to it."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import apache_beam

from tests.cluster import Cluster
from tests.jobs import ROOT

PRISM_MODULE = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{apache_beam.__version__}"
#: Kept between runs; `make clean` removes it.
PRISM = ROOT / ".engines" / f"prism-{apache_beam.__version__}"
JAR_VARIABLE = "FLINK_JOB_SERVER_JAR"
_FLINK = "1.20"
_FLINK_CONFIGURATION = """\
taskmanager.numberOfTaskSlots: 2
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 10
restart-strategy.fixed-delay.delay: 1 s
"""


def prism():
    """Returns the path of Prism, built from Beam's module at Beam's version; Go fetches it once.

    Raises:
      CalledProcessError: It cannot be fetched or built.
    """
    if not PRISM.exists():
        PRISM.parent.mkdir(exist_ok=True)
        subprocess.run(["go", "install", PRISM_MODULE], env={**os.environ, "GOBIN": str(PRISM.parent)}, check=True)
        (PRISM.parent / "prism").rename(PRISM)
    return str(PRISM)


@contextlib.contextmanager
def prism_server(log, folder):
    """Gives Prism as a server of its own, with a pool of workers."""
    made = Cluster(log, folder / "workers", lambda port: [prism(), f"--job_port={port}", "--serve_http=false"])
    try:
        yield made
    finally:
        made.close()


def flink_jar(folder):
    """Returns the path of Flink's job server: the one that is named, or what Maven gives; None where it gives none."""
    if named := os.environ.get(JAR_VARIABLE):
        return named
    if shutil.which("mvn") is None:
        return None
    artifact = f"org.apache.beam:beam-runners-flink-{_FLINK}-job-server:{apache_beam.__version__}"
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
    settings = [f"-Dartifact={artifact}", f"-DoutputDirectory={folder}", "-q", "-B"]
    done = subprocess.run(["mvn", goal, *settings], capture_output=True, check=False, timeout=600)
    found = sorted(Path(folder).glob("*.jar"))
    return str(found[0]) if done.returncode == 0 and found else None


@contextlib.contextmanager
def flink_server(log, folder, jar):
    """Gives Flink with two task slots that begins again what fails, and a pool of workers, of which it asks for two."""
    for name in ("flink-conf.yaml", "config.yaml"):  # as Flink 1 and 2 call it
        (folder / name).write_text(_FLINK_CONFIGURATION)
    ports = ["--artifact-port=0", "--expansion-port=0"]
    places = [f"--flink-conf-dir={folder}", f"--artifacts-dir={folder / 'artifacts'}"]
    java = ["java", "-jar", jar, "--flink-master=[local]", *places, *ports]
    made = Cluster(log, folder / "workers", lambda port: [*java, f"--job-port={port}"])
    made.options += ["--parallelism=2", "--sdk_worker_parallelism=2"]
    try:
        yield made
    finally:
        made.close()


if __name__ == "__main__":
    print(prism())
