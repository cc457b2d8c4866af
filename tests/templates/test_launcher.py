"""What the launcher of the template runs takes the arguments that a launcher gives."""

import subprocess
import sys
from pathlib import Path

from apache_beam.options.pipeline_options import GoogleCloudOptions, WorkerOptions

from clipscout.pipeline import cloud as dataflow
from clipscout.pipeline.run import configure
from tests.conftest import BUCKET

MAIN = Path(__file__).parents[2] / "templates/main.py"
#: From the runtime environment of a launch; parameters come beside them.
LAUNCHER = (
    "--runner=DataflowRunner",
    "--project=project",
    "--region=us-central1",
    "--job_name=clipscout",
    "--template_location=gs://bucket/staging/template_launches/1/job_object",
    "--temp_location=gs://bucket/tmp",
    "--staging_location=gs://bucket/staging",
    "--service_account_email=worker@project.iam.gserviceaccount.com",
    "--sdk_container_image=host/clipscout:1",
    "--num_workers=1",
    "--max_num_workers=10",
    "--network=default",
    "--subnetwork=regions/us-central1/subnetworks/default",
    "--no_use_public_ips",
)


def test_a_launch_is_a_whole_configuration():
    parameters = ("--input=gs://bucket/q-{date}.csv", "--output=gs://bucket/out", "--date=2026-11-22", "--min_score=")
    config, beam_options = configure([*LAUNCHER, *parameters])
    assert dataflow.faults(config, beam_options) == []
    assert config.inputs == ("gs://bucket/q-2026-11-22.csv",)
    dataflow.settle(config, beam_options)
    google = beam_options.view_as(GoogleCloudOptions)
    assert google.job_name == "clipscout"  # the schedule's lock
    assert google.template_location == "gs://bucket/staging/template_launches/1/job_object"
    assert beam_options.view_as(WorkerOptions).max_num_workers == 10


def test_the_program_of_the_image_complains_in_one_line(tmp_path, cloud):
    launcher = [flag.replace("gs://bucket", f"gs://{BUCKET}") for flag in LAUNCHER]
    given = ("--input=", "--output=", "--no_such_option=1", "--progress=none")  # a slow start would speak too
    command = [sys.executable, str(MAIN), *launcher, *given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 3, done.stderr
    assert all(line.startswith("clipscout: ") for line in lines), done.stderr
    assert "warning: unknown argument '--no_such_option'" in lines[0]


def test_the_program_is_a_shim():
    assert len(MAIN.read_text().splitlines()) < 12
