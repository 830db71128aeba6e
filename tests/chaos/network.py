"""A network of namespaces that belongs to this process: each place has a namespace of its own with one TUN device, all of them end
in switch.py. Nothing is named and nothing is left behind: a namespace lives as long as a process or a descriptor of it, and ours
end with us. The calling thread moves into a fresh namespace too (number OUTSIDE): there is no way from here to any other network.
"""
import ctypes
import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys

from cluster import LIBC, Place, die_with_parent
from runner import Skip

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 0x0001, 0x1000
MTU = 9000
OUTSIDE = 254


def _move(call, what, *arguments):
    if call(*arguments) != 0:
        raise OSError(ctypes.get_errno(), what)


class Network:
    """Call in the thread that starts the processes. Raises Skip where namespaces or TUN devices are refused."""

    def __init__(self, count, seed):
        if shutil.which("ip") is None:
            raise Skip("no iproute2 is installed")
        libc = ctypes.CDLL(None, use_errno=True)
        self._rules, self._places, self._namespaces, self.switch = {}, {}, [], None
        devices = {}
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _move(libc.unshare, "unshare", CLONE_NEWNET)
            here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self._namespaces.append(here)
            devices[OUTSIDE] = self._device(OUTSIDE)
            for number in range(1, count + 1):
                _move(libc.unshare, "unshare", CLONE_NEWNET)
                self._namespaces.append(os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
                devices[number] = self._device(number)
                self._places[number] = Place(self.address(number), self._entry(self._namespaces[-1]))
            _move(libc.setns, "setns", here, CLONE_NEWNET)
        except OSError as error:
            self.close()
            for fd in devices.values():
                os.close(fd)
            raise Skip(f"no network namespaces with TUN devices: {error}") from None
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "switch.py")
        self.switch = subprocess.Popen([sys.executable, "-B", program, str(seed), *(f"{number}={fd}" for number, fd in devices.items())], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, pass_fds=tuple(devices.values()), preexec_fn=die_with_parent, text=True)
        for fd in devices.values():
            os.close(fd)

    @staticmethod
    def address(number):
        return f"10.77.0.{number}"

    @staticmethod
    def _entry(namespace):
        return lambda: LIBC.setns(namespace, CLONE_NEWNET)

    def _device(self, number):
        """Of the namespace we are in: its end of the network, up."""
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"net0", IFF_TUN | IFF_NO_PI))
            for words in (("link", "set", "lo", "up"), ("addr", "add", f"{self.address(number)}/24", "dev", "net0"), ("link", "set", "net0", "up", "mtu", str(MTU))):
                done = subprocess.run(["ip", *words], capture_output=True, text=True)
                if done.returncode != 0:
                    raise OSError(done.returncode, f"ip {' '.join(words)}: {done.stderr.strip()}")
        except OSError:
            os.close(fd)
            raise
        return fd

    def place(self, number):
        return self._places[number]

    def set(self, source, target, **rule):
        """From now on, one way; without a rule the link is clean. The packets that the switch has seen so far."""
        self._rules[source, target] = rule
        self.switch.stdin.write(json.dumps([source, target, rule or None]) + "\n")
        self.switch.stdin.flush()
        return json.loads(self.switch.stdout.readline())

    def heal(self):
        for link, rule in list(self._rules.items()):
            if rule:
                self.set(*link)

    def packets(self):
        return self.set(OUTSIDE, OUTSIDE)

    def close(self):
        if self.switch is not None:
            self.switch.kill()
            self.switch.wait()
            self.switch.stdin.close()
            self.switch.stdout.close()
        LIBC.setns(self._home, CLONE_NEWNET)
        for namespace in (self._home, *self._namespaces):
            os.close(namespace)
