import subprocess
import sys
import time

from paxcast.adapters.processes import is_gone, this_process

NAME_ITSELF = "from paxcast.adapters.processes import this_process; print(this_process(), flush=True); input()"


def test_this_process_lives() -> None:
    assert not is_gone(this_process())


def test_a_process_is_gone_when_it_was_killed_even_before_its_parent_notices() -> None:
    with subprocess.Popen([sys.executable, "-c", NAME_ITSELF], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert not is_gone(name)
        child.kill()
        time.sleep(0.3)  # nobody has waited for it yet
        assert is_gone(name)
    assert is_gone(name)


def test_a_later_process_with_the_same_number_is_another_one() -> None:
    host, pid, started = this_process().rsplit(":", 2)
    assert is_gone(f"{host}:{pid}:{int(started) - 1}")


def test_of_another_machines_processes_nothing_is_known() -> None:
    assert not is_gone("elsewhere:1:1")
