"""What a discovery process is spared that nobody asks for AWS's own services."""

from __future__ import annotations

import subprocess
import sys


def test_aws_models_are_loaded_when_somebody_asks() -> None:
    code = (
        "import sys, discovery.program\n"
        "print(sorted({'botocore', 'aiobotocore'} & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.strip() == "[]"
