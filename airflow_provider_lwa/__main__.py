"""``python -m airflow_provider_lwa``: the commands of ``airflow lwa``, on every version of Airflow."""

from __future__ import annotations

import sys

from airflow_provider_lwa.cli import main

if __name__ == "__main__":
    sys.exit(main())
