"""Where a stock redis-server is. Debian's redis-tools has the program under the name redis-check-rdb; what it is depends on the
name it is called by. The package redis-server adds the other name, and a service that tests do not want on anybody's machine."""
import os
import shutil


def redis_server(folder):
    """Path of the program, made in `folder` if need be; None when there is none on this machine."""
    program = shutil.which("redis-server")
    tools = shutil.which("redis-check-rdb")
    if program is not None or tools is None:
        return program
    program = os.path.join(folder, "redis-server")
    if not os.path.lexists(program):
        os.symlink(os.path.realpath(tools), program)
    return program
