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
            {"metadata", "of masters: create, delete and read volumes; lists with an age, a version; data nodes that register, are silent, gain disks"},
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
            {"lists", "what masters show: its age and order in true time, its content against a model of their log; the model's own rules; equal states at rest"},
            {"expiry",
             "keys with a TTL in true time: none gone before it, none readable long after it, none "
             "back once it was seen gone"},
            {"liveness",
             "a leader within ten election timeouts of heal, no operation pending, everything "
             "readable"}};
}

std::vector<NamedText> list_probes() {
    return {{"raft.hole_filled", "a damaged entry of the log was fetched from another member"},
            {"raft.old_term_reply", "an answer of an earlier term reached a leader that had led in it"},
            {"rpc.late_frame", "a frame of a call that had ended"},
            {"snapshot.term_not_durable", "a snapshot was whole before its term was durable in the log, and waited"},
            {"snapshot.swap_refused", "a snapshot was whole and not taken over: another led by then, or the member itself"},
            {"snapshot.resumed", "a snapshot transfer went on where an earlier one had ended"},
            {"wait.after_unknown_outcome", "behind a write of unknown outcome that has been committed"},
            {"wait.apply_behind_log", "a member had synced the target and not applied it as an answer was given"},
            {"wait.asked_deposed_leader", "WAITALL at a leader while another led a later term"},
            {"wait.asked_leader_of_old_members", "the same, and the later one has a member that it does not know"},
            {"wait.client_left", "a client left while it waited, and another waited on the same leader"},
            {"wait.clock_jumped", "the leader's wall clock jumped during a wait"},
            {"wait.conflicting_tail", "a member had another entry at the target's index as an answer was given"},
            {"wait.ended_together", "two waits with different targets and wishes ended in one turn"},
            {"wait.held_back_by_new_member", "a member without the target became required during a WAITALL"},
            {"wait.idle_group", "right behind the last write of an idle group"},
            {"wait.in_transaction", "inside MULTI"},
            {"wait.install_cut_off", "a member died while it took in a snapshot that covers the target"},
            {"wait.isolated_leader_timed_out", "all held it, and WAITALL did not say so: the leader had heard nobody"},
            {"wait.left_by_client", "at the end of a run a client left while no wait could end"},
            {"wait.released_by_removal", "a member that did not hold the target left, and the wait ended"},
            {"wait.required_replica_gone", "a replica that was asked for is gone with its disk, and its node is back under another id"},
            {"wait.resumed_at_new_leader", "the leader lost its office during a wait, which went on elsewhere"},
            {"wait.spans_joint", "a wait lasted through both phases of a change of members"},
            {"wait.timed_out_as_another_was_released", "in one turn one wait's time was up and another was satisfied"},
            {"wait.unblocked", "CLIENT UNBLOCK ended it"},
            {"wait.unblocked_as_it_ended", "CLIENT UNBLOCK came in the very turn in which its count or its time ended it"},
            {"wait.unsynced_entry_lost", "a member received the target, lost power before its sync, and came back without it"}};
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
            {"master.list.page", "page (checkpoint): of a list that is streamed out, but its first"},
            {"kv.time_begun",
             "source, time_ns, wall_ns: a leader went on without a running value of anybody"},
            {"kv.time_stored", "time_ns, wall_ns: state-machine time and wall clock, with a batch"},
            {"kv.time_set", "from_ns, to_ns: an operator moved state-machine time"},
            {"kv.wait", "target, timeout, blocks: a WAIT, WAITALL or WAITAOF arrived"},
            {"kv.wait_begun", "wait, kind, replicas, local, target, forwarded: at the leader"},
            {"kv.wait_ended", "wait, end, count, local, acked, required, missing: the leader's answer"},
            {"kv.wait_left", "wait: at the leader, the client left"},
            {"kv.wait_answered", "target, timeout: at the node that was asked"},
            {"client.unblock", "client: the workload is about to send CLIENT UNBLOCK"},
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
