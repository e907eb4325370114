"""`make demo`: the real DAGs in a real Airflow, on real airports, with everything under .paxcast/. `make ui` opens it.

Airflow keeps its own database and logs in .paxcast/airflow. The demo shows the line's own log; all of it is in
.paxcast/demo.log.
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from paxcast.settings import DEMO, PROJECT, home, load

AS_OF = "2013-12-31"
OURS = re.compile(r"^(?P<time>\S{11}\d\d:\d\d:\d\d|\S+) \[(?P<level>\w+) *\] (?P<text>.*?) +\[paxcast\.(?P<who>\w+)\]")


def main() -> int:
    """Run the demo, or open the UIs on what it made; the exit code."""
    parser = argparse.ArgumentParser(prog="paxcast-demo")
    parser.add_argument("--ui", action="store_true")
    return open_uis() if parser.parse_args().ui else run()


def run() -> int:
    """Ingest, retrain as of the end of 2013, and the table of airports."""
    started = time.monotonic()
    log = home() / "demo.log"
    log.unlink(missing_ok=True)
    _say("Preparing Airflow's database ...")
    if _airflow(["db", "migrate"], log):
        return _failed("airflow db migrate", log)
    for step, arguments in (
        ("ingest_demo", []),
        ("retrain_demo", ["--conf", json.dumps({"as_of": AS_OF})]),
    ):
        _say(f"Running the DAG {step} ...")
        if _airflow(["dags", "test", step, *arguments], log):
            return _failed(step, log)
    return _finish(time.monotonic() - started)


def _finish(seconds: float) -> int:
    from paxcast.jobs import releases
    from paxcast.jobs.workspace import open_workspace

    ws = open_workspace(load(DEMO))
    subprocess.run([str(Path(sys.executable).parent / "paxcast"), "status"], check=True)
    release = releases.current(ws)
    page = f"{ws.objects.root}/objects/reports/{release.run_key}/index.html" if release else "-"
    _say(
        f"\nDone in {seconds:.0f} s. mase: error in the last 28 days, which nothing was chosen on, against seasonal "
        f"naive's (mase_naive).\nForecast charts: {page}\nThe runs in Airflow and MLflow: make ui\n"
        "One airport's forecast: .venv/bin/paxcast forecast --airports ATL"
    )
    return 0


def open_uis() -> int:
    """Airflow (standalone) and MLflow on what the demo made, until Ctrl-C."""
    airflow_port, mlflow_port = _free_port(8080), _free_port(5000)
    uri = load(DEMO).tracking_uri
    servers = [
        _serve(["airflow", "standalone"], _environment(airflow_port), home() / "airflow.log"),
        _serve(
            ["mlflow", "server", "--backend-store-uri", uri, "--port", str(mlflow_port), "--workers", "1"],
            {**_environment(airflow_port), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # seven idle processes less
            home() / "mlflow.log",
        ),
    ]
    _say(
        f"Airflow, in half a minute: http://localhost:{airflow_port}/dags/retrain_demo   (log: {home()}/airflow.log)\n"
        f"MLflow: http://localhost:{mlflow_port}   (log: {home()}/mlflow.log)\nCtrl-C ends both."
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        while all(server.poll() is None for server in servers):
            time.sleep(1)
    for server in servers:  # airflow standalone leaves its children behind unless its whole group is ended
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
    return 0


def _airflow(arguments: list[str], log: Path) -> int:
    """Run an airflow command, showing the line's own log; its exit code."""
    command = [sys.executable, "-m", "airflow", *arguments]
    with (
        log.open("a", encoding="utf-8") as kept,
        subprocess.Popen(
            command, env=_environment(8080), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=PROJECT
        ) as process,
    ):
        for line in process.stdout or ():
            kept.write(line)
            kept.flush()
            ours = OURS.match(line)
            if ours:
                _say(f"  {ours['who']:>9}  {ours['text']}")
    return process.returncode


def _serve(command: list[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    program = [sys.executable, "-m", *command]
    return subprocess.Popen(
        program, env=environment, stdout=log.open("ab"), stderr=subprocess.STDOUT, start_new_session=True, cwd=PROJECT
    )


def _environment(airflow_port: int) -> dict[str, str]:
    """This process's environment, with Airflow pointed at the project and at .paxcast."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "AIRFLOW_HOME": str(home() / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",  # a demo on this machine only
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{airflow_port}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(airflow_port),
        "PYTHONUNBUFFERED": "1",
    }


def _free_port(wanted: int) -> int:
    """The port asked for, or another if something listens there."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", wanted)) != 0:
            return wanted
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _failed(step: str, log: Path) -> int:
    lines = log.read_text(encoding="utf-8").splitlines()
    sys.stderr.write("\n".join(lines[-25:]) + f"\n\n{step} failed; the whole log is {log}\n")
    return 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
