"""What a start refuses, in its own words: configuration errors all at once and with their place, a directory or a port that
somebody else holds, a directory of another node. Nothing is started or made then."""
import os
import subprocess
import sys

import runner
from cluster import plain_environment, until


def run(stage, *arguments, environment=None):
    """(exit code, standard output, standard error) of an orrery-kv that is expected to end by itself."""
    done = subprocess.run([stage.program("kv/orrery-kv"), *arguments], capture_output=True, text=True, timeout=20, cwd=stage.directory,
                          env={**plain_environment(), **(environment or {})})
    return done.returncode, done.stdout, done.stderr


def write(stage, name, text):
    with open(os.path.join(stage.directory, name), "w") as file:
        file.write(text)
    return name


def same(have, want):
    assert have == want, "\nhave:\n" + have + "\nwant:\n" + want


UNSET = """configuration: error[E0205]: 'data_dir' is not set and has no default; set it in the file, as ORRERY_DATA_DIR or as --data-dir
configuration: error[E0205]: 'node.id' is not set and has no default; set it in the file, as ORRERY_NODE_ID or as --node-id
"""


def test_all_errors_of_a_file_are_said_at_once_with_line_and_what_to_do(stage):
    write(stage, "bad.toml", """data_dri = "/x"
[node]
id = "one"
peer = "of no schema"
[raft]
election_timeout_max = 5
heartbeat = true
retain_bytes = "much"
[client]
listen = "nowhere"
bulk_bytes_max = "9MiB"
[log]
level = "loud"
""")
    code, out, errors = run(stage, "--config", "bad.toml", "--check-config")
    same(errors, """bad.toml:1:1: error[E0202]: there is no key 'data_dri'; did you mean 'data_dir'?
bad.toml:3:1: error[E0203]: 'one' is not an integer; give 'node.id' an integer
bad.toml:4:1: error[E0202]: there is no key 'node.peer'; see --list-config for those there are
bad.toml:6:1: error[E0203]: '5' is not a duration such as "250ms"; give 'raft.election_timeout_max' a duration such as "250ms"
bad.toml:7:1: error[E0203]: 'true' is not a duration such as "250ms"; give 'raft.heartbeat' a duration such as "250ms"
bad.toml:8:1: error[E0203]: 'much' is not a size such as "64MiB"; give 'raft.retain_bytes' a size such as "64MiB"
bad.toml:10:1: error[E0203]: 'nowhere' is not an address HOST:PORT; give 'client.listen' an address HOST:PORT
bad.toml:11:1: error[E0204]: 'client.bulk_bytes_max' is 9MiB, outside its range; give 1KiB to 8MiB
bad.toml:13:1: error[E0204]: 'log.level' is 'loud'; give one of debug, info, warning, error
configuration: error[E0205]: 'data_dir' is not set and has no default; set it in the file, as ORRERY_DATA_DIR or as --data-dir
""")
    assert code == 2 and out == ""


def test_a_file_that_is_missing_or_no_toml_is_named(stage):
    code, _, errors = run(stage, "--config", "none.toml", "--check-config")
    same(errors, "none.toml: error[E0200]: the configuration file cannot be read; check the path and its permissions\n" + UNSET)
    assert code == 2
    write(stage, "syntax.toml", "a = [\n")
    code, _, errors = run(stage, "--config", "syntax.toml", "--check-config")
    same(errors, "syntax.toml:1:7: error[E0201]: not valid TOML: Error while parsing array: encountered end-of-file; correct the line\n" + UNSET)
    assert code == 2


def test_errors_of_environment_and_flags_name_the_variable_or_the_flag(stage):
    code, _, errors = run(stage, "--data-dir", "d", "--raft-heartbeat", "soon", "--check-config", environment={"ORRERY_NODE_ID": "x", "ORRERY_NODE_IDD": "3"})
    for part in ("ORRERY_NODE_ID: error[E0203]: 'x' is not an integer; give 'node.id' an integer\n",
                 "ORRERY_NODE_IDD: error[E0202]: there is no key 'ORRERY_NODE_IDD'; did you mean 'ORRERY_NODE_ID'?\n",
                 "--raft-heartbeat: error[E0203]: 'soon' is not a duration such as \"250ms\"; give 'raft.heartbeat' a duration such as \"250ms\"\n"):
        assert part in errors, errors
    assert code == 2 and len(errors.splitlines()) == 3, errors
    code, _, errors = run(stage, "--no-such-flag")
    assert code == 2 and "--no-such-flag" in errors
    code, _, errors = run(stage, "--data-dir", "d", "--node-id", "1", "--raft-heartbeat", "400ms", "--raft-election-timeout-max", "900ms", "--check-config")
    for part in ("error[E0220]: raft.election_timeout_max must be above raft.election_timeout_min", "error[E0221]: raft.election_timeout_min is below three heartbeats"):
        assert part in errors, errors
    assert code == 2


def test_a_good_configuration_is_silent_and_each_value_is_printed_with_its_source(stage):
    write(stage, "good.toml", 'data_dir = "never-made"\n[node]\nid = 4\n')
    assert run(stage, "--config", "good.toml", "--check-config") == (0, "", "")
    code, out, errors = run(stage, "--config", "good.toml", "--raft-heartbeat", "50ms", "--print-config", environment={"ORRERY_KV_WAIT_ZERO": "all"})
    for line in ('data_dir = "never-made"  # good.toml:1:1', "id = 4  # good.toml:3:1", 'heartbeat = "50ms"  # --raft-heartbeat', 'wait_zero = "all"  # ORRERY_KV_WAIT_ZERO',
                 'listen = "127.0.0.1:6379"  # default'):
        assert line in out.splitlines(), out
    assert code == 0 and errors == "" and not os.path.exists(os.path.join(stage.directory, "never-made"))
    write(stage, "printed.toml", out)  # what is printed is a configuration
    assert run(stage, "--config", "printed.toml", "--check-config") == (0, "", "")


def test_a_second_process_on_the_data_directory_is_refused_and_told_who_has_it(stage):
    node = stage.cluster(1).nodes[0]
    other = stage.node(1, data_dir=node.data_dir)
    code, _, errors = run(stage, *other.command()[1:])
    assert code == 75, code
    same(errors, f"orrery-kv: error[E0105]: directory '{node.data_dir}' is held by process {node.process.pid} (orrery-kv); stop the other holder, or try again later\n")
    with node.client() as client:
        assert client.call("SET", "x", "1") == "OK"
    node.kill()
    node.start()  # the hold of a killed process is gone with it
    until("ready", node.ready)


def test_a_port_that_is_taken_is_named_with_its_holder(stage):
    node = stage.cluster(1).nodes[0]
    for face, port in (("peer", node.peer), ("admin", node.admin)):
        other = stage.node(2)
        setattr(other, face, port)
        code, _, errors = run(stage, *other.command()[1:])
        assert code == 75, f"{code}: {errors}"
        assert errors.endswith(f"orrery-kv: error[E0105]: cannot listen on 127.0.0.1:{port}: Address already in use, "
                               f"held by process {node.process.pid} (orrery-kv); stop the other holder, or try again later\n"), errors
    # The clients' port is opened by a founded node only.
    founded = stage.cluster(1, first=3).nodes[0]
    assert founded.stop()[0] == 0
    founded.client_port = node.client_port
    code, _, errors = run(stage, *founded.command()[1:])
    assert code == 75 and f"cannot listen on 127.0.0.1:{node.client_port}: Address already in use, held by process {node.process.pid} (orrery-kv)" in errors, f"{code}: {errors}"


def test_the_directory_of_another_node_and_an_unusable_one_are_refused(stage):
    node = stage.cluster(1).nodes[0]
    assert node.stop()[0] == 0
    other = stage.node(2, data_dir=node.data_dir)
    code, _, errors = run(stage, *other.command()[1:])
    assert code == 2 and "the data directory belongs to node 1, configured is node 2; give each node a directory of its own" in errors, f"{code}: {errors}"
    write(stage, "file", "no directory")
    code, _, errors = run(stage, *stage.node(2, data_dir="file").command()[1:])
    assert code == 2 and "data directory 'file': Not a directory" in errors, f"{code}: {errors}"
    code, _, errors = run(stage, "--node-id", "2", "--data-dir", "d", "--peer-listen", "192.0.2.1:7101")
    assert code == 2 and "cannot listen on 192.0.2.1:7101: Cannot assign requested address" in errors, f"{code}: {errors}"


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
