// What keeps a group's log: claims of members, taken away past a bound; transfers, whose claims are not, and which slow
// proposals down instead; and whether a majority has room for more.
//
// A transfer is the snapshot and the catching up behind it: else what came in meanwhile would cost the member its claim
// the moment the snapshot has arrived, and it would be sent another for ever.
#include <algorithm>

#include "node/raft/group.h"
#include "node/raft/group_host.h"
#include "runtime/base/defect.h"

namespace orrery::raft {

void Group::on_durable(LogIndex applied) {
    durable_applied_ = std::max(durable_applied_, applied);
    if (!stopped_) machine_->durable(durable_applied_);
    compact();
}

void Group::compact() {
    if (stopped_ || installing_) return;
    if (leads()) revoke_claims();
    cut_log();
    host_.keep_within_bound();
    review_pace();
}

void Group::cut_log() {
    if (stopped_ || installing_) return;
    const LogView& log = core_->log();
    const LogIndex cut = std::min({ORRERY_DEFECT(log_cut_before_state_durable) ? applied_.applied.index : durable_applied_, core_->lowest_claim(), core_->applied_index()});
    if (cut <= log.floor().index) return;
    const std::optional<Term> term = log.term_at(cut);
    CHECK(term.has_value(), cut, log.last().index);
    Floor floor{cut, *term, configuration_at(cut)};
    core_->compact(cut);
    queue_floor(std::move(floor), std::nullopt);
    env_.tracer.debug("raft.compact", {{"group", id_}, {"index", cut}});
    log_ready();
}

// ---- claims -----------------------------------------------------------------------------------------------------

uint64_t Group::held_above(LogIndex claim) const {
    return core_->log().bytes_in(claim, durable_applied_);
}

uint64_t Group::retained_bytes() const { return stopped_ ? 0 : held_above(core_->lowest_claim()); }

std::optional<Group::Holder> Group::lowest_holder() const {
    if (!leads()) return std::nullopt;
    std::optional<Holder> lowest;
    LogIndex claim_of_lowest;
    for (const Member& member : core_->log().configuration().members()) {
        const std::optional<LogIndex> claim = member == self() ? std::nullopt : core_->claim_of(member.node);
        if (!claim || (lowest && *claim >= claim_of_lowest)) continue;
        lowest = Holder{member.node, held_above(*claim)};
        claim_of_lowest = *claim;
    }
    return lowest;
}

void Group::revoke_claims() {
    // Past the bound the slowest members get snapshots instead.
    look_at_transfers();
    for (;;) {
        const std::optional<Holder> holder = lowest_holder();
        if (!holder || holder->bytes <= options_.retain_bytes || transfer_lives(holder->node)) return;
        revoke(*holder, "group");
    }
}

void Group::revoke(const Holder& holder, const char* bound) {
    env_.tracer.info("raft.claim_revoked", {{"group", id_}, {"node", holder.node}, {"bytes", holder.bytes}, {"bound", bound}});
    core_->revoke_claim(holder.node);
    auto found = transfers_.find(holder.node);
    if (found != transfers_.end() && !found->second.streaming) transfers_.erase(found);
}

// ---- transfers --------------------------------------------------------------------------------------------------

bool Group::transfer_lives(NodeId node) const {
    auto found = transfers_.find(node);
    return found != transfers_.end() && env_.now() - found->second.progressed_at < options_.snapshot_timeout;
}

bool Group::begin_transfer(NodeId node) {
    Transfer& transfer = transfers_[node];
    if (transfer.streaming) return false;
    transfer = {.streaming = true, .progressed_at = env_.now(), .seen = {}, .caught_up = {}};
    return true;
}

void Group::end_transfer(NodeId node, bool arrived) {
    if (!arrived || !leads()) {
        transfers_.erase(node);
    } else {
        transfers_[node] = {.streaming = false, .progressed_at = env_.now(), .seen = {}, .caught_up = core_->log().last().index};
    }
}

void Group::look_at_transfers() {
    for (auto at = transfers_.begin(); at != transfers_.end();) {
        Transfer& transfer = at->second;
        const std::optional<LogIndex> claim = core_->claim_of(at->first);
        if (transfer.streaming || (leads() && claim && *claim < transfer.caught_up)) {
            if (!transfer.streaming && *claim > transfer.seen) {
                transfer.seen = *claim;
                transfer.progressed_at = env_.now();
            }
            ++at;
        } else {
            at = transfers_.erase(at);
        }
    }
}

uint64_t Group::transfer_bytes() const {
    uint64_t most = 0;
    if (!leads()) return 0;
    for (const auto& [node, transfer] : transfers_) {
        const std::optional<LogIndex> claim = core_->claim_of(node);
        if (claim && transfer_lives(node)) most = std::max(most, held_above(*claim));
    }
    return most;
}

// ---- pace -------------------------------------------------------------------------------------------------------

void Group::review_pace() {
    const uint64_t held = transfer_bytes();
    uint64_t rate = 0;
    if (held > 0) {
        const uint64_t base = options_.slowed_bytes_per_second;
        const uint64_t of_group = slowed_rate(base, held, options_.retain_bytes);
        const uint64_t of_node = slowed_rate(base, host_.retained_bytes(), host_.options_.retain_bytes_node);
        rate = of_group == 0 || of_node == 0 ? std::max(of_group, of_node) : std::min(of_group, of_node);
    }
    if (rate == pace_.rate()) return;
    const bool was_slowed = slowed(), is_slowed = rate > 0;
    pace_.set_rate(env_.now(), rate);
    if (is_slowed && !was_slowed) {
        ++slow_counters_.periods;
        slowed_since_ = env_.now();
        env_.tracer.warning("raft.slowed", {{"group", id_}, {"held_bytes", held}, {"bound_bytes", options_.retain_bytes}, {"bytes_per_second", rate}});
    } else if (was_slowed && !is_slowed) {
        env_.tracer.info("raft.slowed_ends", {{"group", id_}, {"lasted", env_.now() - slowed_since_}, {"waited", slow_counters_.waited}, {"refused", slow_counters_.refused}});
    }
    pace_changed_.notify_all();
}

Result<void> Group::admit(Fiber& fiber, uint64_t bytes, Instant deadline) {
    if (!slowed()) return {};
    if (waiting_ >= options_.max_waiting) return Error(Code::Overloaded, "too many requests wait on this node");
    ++slow_counters_.waited;
    ++waiting_;
    Result<void> turn = wait_for_turn(fiber, bytes, deadline);
    --waiting_;
    if (!turn.failed_with(Code::Timeout)) return turn;
    ++slow_counters_.refused;
    return Error(Code::Overloaded, "writes are slowed while the log is kept for a snapshot on its way to a member");
}

Result<void> Group::wait_for_turn(Fiber& fiber, uint64_t bytes, Instant deadline) {
    TRY(Mutex::Lock first, admission_.lock(fiber, deadline));
    while (slowed() && leads()) {
        const Instant due = pace_.due(env_.now());
        if (due <= env_.now()) {
            pace_.take(env_.now(), bytes);
            return {};
        }
        if (env_.now() >= deadline) return Code::Timeout;
        if (pace_changed_.wait(fiber, std::min(due, deadline)).failed_with(Code::Cancelled)) return Code::Cancelled;
    }
    return {};
}

Group::Retention Group::retention() const {
    return {.retained_bytes = retained_bytes(), .transfers = transfers_.size(), .slowed_to_bytes_per_second = pace_.rate(), .slow = slow_counters_};
}

// ---- room of a majority -----------------------------------------------------------------------------------------

bool Group::majority_has(wire::SpaceLevel at_worst) const {
    const Instant now = env_.now();
    return core_->log().configuration().quorum_value([&](Member member) -> uint64_t {
        if (member == self()) return host_.space_level() <= at_worst;
        return core_->in_touch(now, member) && host_.peer_space(member.node) <= at_worst;
    }) > 0;
}

Result<void> Group::check_space(SpaceUse use) const {
    const wire::SpaceLevel at_worst = use == SpaceUse::Frees ? wire::SpaceLevel::Low : wire::SpaceLevel::Room;
    if (host_.space_level() > at_worst) return Error(Code::NoSpace, "the disk of this node (" + std::to_string(self().node.value) + ") is full");
    if (!host_.peers_may_be_short() || majority_has(at_worst)) return {};
    // That nobody can be reached is another matter: then nothing is known of anybody's disk.
    std::string lacking, silent;
    const Configuration& configuration = core_->log().configuration();
    for (const Member& member : configuration.members()) {
        if (member == self() || !configuration.is_voter(member)) continue;
        std::string* list = host_.peer_space(member.node) > at_worst ? &lacking : core_->in_touch(env_.now(), member) ? nullptr : &silent;
        if (list != nullptr) *list += (list->empty() ? "" : ", ") + std::to_string(member.node.value);
    }
    if (lacking.empty()) return {};
    return Error(Code::NoSpace, "no majority has disk space: node " + lacking + " is short of it" + (silent.empty() ? "" : ", node " + silent + " is out of touch"));
}

bool Group::hand_over(Successor successor) {
    if (!leads()) return false;
    const raft::Status now = status();
    const MemberStatus* best = nullptr;
    auto has_room = [&](const MemberStatus& member) { return host_.peer_space(member.member.node) == wire::SpaceLevel::Room; };
    // One of few that have room would have to refuse as we do. Who was not heard yet may be gone.
    const bool of_majority = now.configuration.quorum_value([&](Member asked) -> uint64_t {
        return std::any_of(now.members.begin(), now.members.end(), [&](const MemberStatus& member) {
            return member.member == asked && asked != now.self && member.active && has_room(member);
        });
    }) > 0;
    if (successor == Successor::WithRoom && !of_majority) return false;
    for (const MemberStatus& member : now.members) {
        if (member.member == now.self || !member.voter || !member.active) continue;
        if (successor == Successor::WithRoom && !has_room(member)) continue;
        if (best == nullptr || has_room(member) > has_room(*best) || (has_room(member) == has_room(*best) && member.match > best->match)) best = &member;
    }
    return best != nullptr && transfer(best->member.node).ok();
}

}  // namespace orrery::raft
