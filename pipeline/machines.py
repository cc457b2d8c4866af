"""The GPUs that a Dataflow job can have, and the machines that go with them. Imports nothing of Beam."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """What the machines of a pool look like where the user says nothing.

    Attributes:
      machine_type: Compute Engine's name.
      threads: Harness threads of a worker process.
      one_process: One worker process per machine instead of one per vCPU: the threads share one model on the GPU.
        Decoding, cutting and downloads run in children of their own, so that the threads do not wait for each other.
      disk_gb: Boot disk; the image takes about 10.
      series: Beginnings of the machine types that such GPUs can be attached to.
    """

    machine_type: str
    threads: int
    one_process: bool
    disk_gb: int
    series: tuple[str, ...] = ()


#: Without a GPU every vCPU has a process and a model of its own.
WITHOUT_GPU = Machine("n2-standard-8", threads=2, one_process=False, disk_gb=50)
#: By the names that Dataflow has for GPUs.
WITH_GPU = {
    "nvidia-l4": Machine("g2-standard-8", threads=8, one_process=True, disk_gb=100, series=("g2-",)),
    "nvidia-tesla-t4": Machine("n1-standard-8", threads=8, one_process=True, disk_gb=100, series=("n1-", "custom-")),
    "nvidia-tesla-a100": Machine("a2-highgpu-1g", threads=12, one_process=True, disk_gb=100, series=("a2-highgpu-",)),
    "nvidia-a100-80gb": Machine("a2-ultragpu-1g", threads=12, one_process=True, disk_gb=100, series=("a2-ultragpu-",)),
    "nvidia-h100-80gb": Machine("a3-highgpu-1g", threads=16, one_process=True, disk_gb=100, series=("a3-highgpu-",)),
}
