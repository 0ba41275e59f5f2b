"""Shared by all tests: one thread per process, and the command line as a function."""
import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch

from aminet.__main__ import main

ROOT = Path(__file__).resolve().parent.parent
torch.set_num_threads(1)


@pytest.fixture
def aminet(tmp_path, monkeypatch):
    """Run `python -m aminet ...` in an empty folder; returns the finished process.

    In this process, since importing torch takes seconds; in one of its own if `env` changes what can be imported.
    """
    def run(*arguments, env=None, timeout=240):
        # new strings, as from a shell: argparse takes a word for "not given" if it is the very object of the default
        words = ["aminet", *(os.fsdecode(os.fsencode(str(argument))) for argument in arguments)]
        if "PYTHONPATH" in (env or {}):
            return subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, text=True, capture_output=True,
                                  env=os.environ | env, timeout=timeout)
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", words)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            try:
                status = main()
            except SystemExit as error:
                status = error.code
        return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())
    return run


@pytest.fixture
def refuses(aminet):
    """Run a command that must fail as a user's mistake: exit 2, one line that holds `words`."""
    def run(words, *arguments, **options):
        done = aminet(*arguments, **options)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr and "usage:" not in done.stderr
        line = done.stderr.strip().splitlines()[-1]
        assert line.startswith("aminet") and words in line, line
        return line
    return run


@pytest.fixture
def pretrained(monkeypatch):
    """Call it with names of pretrained networks: the test is skipped unless all are at hand. Nothing is downloaded."""
    from aminet.errors import BadInput
    from aminet.metrics.pretrained import locate

    def offline(*_, **__):
        raise OSError("tests do not download")

    def require(*names):
        try:
            return [locate(name) for name in names]
        except BadInput as error:
            pytest.skip(str(error))

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    return require
