"""redis-py behind a line protocol, for clients_test.py: one JSON array [verb, arguments...] a line in, one JSON object out."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "kv", "client", "python"))
import redis  # noqa: E402
import wait_all  # noqa: E402

client = waiter = None
replicas = []


def do(verb, *arguments):
    global client, waiter, replicas
    if verb == "connect":
        client = redis.Redis(port=arguments[0], single_connection_client=True)
        client.ping()
    elif verb == "guard":
        replicas = arguments[0]
        waiter = wait_all.WaitAll(client, replicas=lambda: replicas)
    elif verb == "set":
        client.set(*arguments)
    elif verb == "wait":
        return vars(waiter.wait(arguments[0]))
    elif verb == "wait_or_raise":
        return vars(waiter.wait_or_raise(arguments[0]))
    elif verb == "forget":
        waiter.forget(arguments[0])
    elif verb == "id":
        return client.client_id()
    elif verb == "pooled":
        wait_all.WaitAll(redis.Redis(port=arguments[0]))
    return None


for line in sys.stdin:
    try:
        answer = {"value": do(*json.loads(line))}
    except Exception as error:  # whatever it is, the test decides
        answer = {"error": type(error).__name__, "text": str(error)}
    print(json.dumps(answer), flush=True)
