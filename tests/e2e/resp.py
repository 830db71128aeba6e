"""A small Redis client for the tests: sends words or raw bytes, reads RESP2 replies. It keeps no state beyond the socket,
never reconnects and never repeats: what a test sends is what the server gets."""
import socket


class ReplyError(Exception):
    """An error reply of the server; the text is the whole line."""


def encode(*words):
    out = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(out)


class Client:
    def __init__(self, port, timeout=10.0, receive_buffer=None, host="127.0.0.1"):
        self.socket = socket.socket()
        if receive_buffer is not None:  # must be set before connecting to bound the window
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect((host, port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _fill(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.buffer += data

    def _line(self):
        while True:
            end = self.buffer.find(b"\r\n")
            if end >= 0:
                line = bytes(self.buffer[:end])
                del self.buffer[:end + 2]
                return line
            self._fill()

    def read_value(self):
        """The next reply; an error reply is returned as a ReplyError, nested or not."""
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ReplyError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            while len(self.buffer) < size + 2:
                self._fill()
            data = bytes(self.buffer[:size])
            del self.buffer[:size + 2]
            return data
        if kind == b"*":
            return None if int(rest) < 0 else [self.read_value() for _ in range(int(rest))]
        raise AssertionError(f"no RESP2 reply: {line[:80]!r}")

    def read(self):
        value = self.read_value()
        if isinstance(value, ReplyError):
            raise value
        return value

    def call(self, *words):
        self.send(encode(*words))
        return self.read()

    def pipeline(self, commands):
        """Sends all, then reads all; error replies are values."""
        self.send(b"".join(encode(*words) for words in commands))
        return [self.read_value() for _ in commands]

    def at_end(self):
        """True when the server has closed and nothing is left to read."""
        if self.buffer:
            return False
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except ConnectionResetError:
            return True
