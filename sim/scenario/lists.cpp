// What exists, for people who ask.
#include "sim/scenario/run.h"

namespace orrery::sim {

std::vector<NamedText> list_workloads() {
    return {{"kv",
             "plain, appended and counted keys over RESP; WAIT and WAITALL after writes; unique "
             "values"},
            {"kv-register", "as kv, plain keys alone: GET, SET, SET NX, DEL"},
            {"kv-counters", "INCRBY and DECRBY of keys that go up, down or both ways, and GET"},
            {"kv-appends", "lists: APPEND of texts that occur once, and GET"},
            {"kv-transactions",
             "WATCH, GET, MULTI ... EXEC over lists and counters, beside single APPEND, INCRBY, GET"},
            {"kv-script", "the commands of workload.script, one line each (sim/scenario/script.h)"}};
}

std::vector<NamedText> list_checks() {
    return {{"raft",
             "one leader a term, votes, log matching, completeness, commit, apply, durability at "
             "restart; at every event"},
            {"linearizable", "the clients' history, key by key"},
            {"order",
             "lists, counters and transactions: strictly serializable, by the order of versions that "
             "the answers tell"},
            {"durability", "every acknowledged write against the final reads"},
            {"replicas", "equal applied index and digest at rest"},
            {"wait",
             "WAIT and WAITALL answers against the members' logs and states; progress in an idle "
             "group"},
            {"expiry",
             "keys with a TTL in true time: none gone before it, none readable long after it, none "
             "back once it was seen gone"},
            {"liveness",
             "a leader within ten election timeouts of heal, no operation pending, everything "
             "readable"}};
}

std::vector<NamedText> list_points() {
    return {{"raft.role", "role, term, leader"},
            {"raft.append", "index, term: handed to the log"},
            {"raft.durable", "index: synced"},
            {"raft.hard_state", "term, vote: handed to the log"},
            {"raft.hard_state_durable", "term, vote: synced"},
            {"raft.commit", "index"},
            {"raft.apply", "index, term"},
            {"raft.truncate", "from"},
            {"raft.compact", "index"},
            {"raft.group_started", "applied, last, term"},
            {"raft.claim_revoked", "node, claim"},
            {"raft.snapshot.send.begin", "node, index (checkpoint)"},
            {"raft.snapshot.send.chunk", "node, sequence (checkpoint)"},
            {"raft.snapshot.begin", "index, from"},
            {"raft.snapshot.receive.chunk", "sequence (checkpoint)"},
            {"raft.apply.begin", "index (checkpoint)"},
            {"raft.snapshot.install.begin", "index (checkpoint)"},
            {"raft.snapshot.install.durable", "index (checkpoint)"},
            {"raft.snapshot.installed", "index, term"},
            {"kv.time_begun",
             "source, time_ns, wall_ns: a leader went on without a running value of anybody"},
            {"kv.time_stored", "time_ns, wall_ns: state-machine time and wall clock, with a batch"},
            {"kv.time_set", "from_ns, to_ns: an operator moved state-machine time"},
            {"kv.wait", "target, timeout: a WAIT or WAITALL arrived"},
            {"log.opened", "epoch"},
            {"log.torn_tail", "file, offset"},
            {"log.sealed", "code, error"},
            {"log.short_of_space", "free_segments"},
            {"node.founded", "cluster, members"},
            {"node.serving", "clients, peers"},
            {"node.draining", ""},
            {"rpc.accepted", "listener"},
            {"rpc.closed", "session, peer, why"}};
}

}  // namespace orrery::sim
