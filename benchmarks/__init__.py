"""The project beside its peers: the same work, in one run, against the emulator.

``python -m benchmarks`` prints one page; ``--write`` puts it into ``docs/benchmarks.md``; ``--quick`` does it
all small, in seconds, which shows that it works but not how fast. The peers live in an environment of their
own: ``scripts/environment peers`` makes it. Peers that are not installed are left out, and the page says so.
"""
