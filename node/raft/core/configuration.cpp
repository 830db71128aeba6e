// Encoding (little endian): u8 version = 3; four lists (voters, outgoing, learners, promoting), each u16 count, then count
// times u64 node, u64 replica, rising by node; contacts: u16 count, then count times u64 node, u64 replica, u32 length,
// bytes, rising; the lease: u64 nanoseconds of promise (0: none), u32 drift in ppm. Nothing may follow.
#include "node/raft/core/configuration.h"

#include <algorithm>

#include "runtime/base/defect.h"

namespace orrery::raft {
namespace {

constexpr uint8_t kVersion = 3;

/// Sorts; false for a zero id, a node twice, or too many.
bool tidy(std::vector<Member>& list) {
    std::sort(list.begin(), list.end());
    for (size_t i = 0; i < list.size(); ++i) {
        if (!list[i].node || !list[i].replica) return false;
        if (i > 0 && list[i - 1].node == list[i].node) return false;
    }
    return list.size() <= Configuration::kMaxMembers;
}

const Member* find_in(const std::vector<Member>& list, NodeId node) {
    // Lists are short, and this is asked at every message: no binary search.
    for (const Member& member : list)
        if (member.node >= node) return member.node == node ? &member : nullptr;
    return nullptr;
}

bool holds(const std::vector<Member>& list, Member member) {
    const Member* found = find_in(list, member.node);
    return found != nullptr && *found == member;
}

size_t majority_of(const std::vector<Member>& half) { return half.size() / 2 + 1; }

uint64_t half_value(const std::vector<Member>& half, FunctionRef<uint64_t(Member)> reached) {
    uint64_t values[Configuration::kMaxMembers];
    for (size_t i = 0; i < half.size(); ++i) values[i] = reached(half[i]);
    std::sort(values, values + half.size(), std::greater<>());
    return half.empty() ? 0 : values[majority_of(half) - 1];
}

VoteResult half_result(const std::vector<Member>& half, FunctionRef<VoteAnswer(Member)> answer) {
    size_t yes = 0, unknown = 0;
    for (const Member& member : half) {
        VoteAnswer given = answer(member);
        yes += given == VoteAnswer::Yes;
        unknown += given == VoteAnswer::Unknown;
    }
    if (half.empty()) return VoteResult::Pending;
    if (yes >= majority_of(half)) return VoteResult::Won;
    return yes + unknown < majority_of(half) ? VoteResult::Lost : VoteResult::Pending;
}

void put_list(Bytes& out, const std::vector<Member>& list) {
    put_le<uint16_t>(out, static_cast<uint16_t>(list.size()));
    for (const Member& member : list) {
        put_le<uint64_t>(out, member.node.value);
        put_le<uint64_t>(out, member.replica.value);
    }
}

bool take_list(ByteReader& reader, std::vector<Member>& list) {
    uint16_t count = 0;
    if (!reader.take_le(count) || count > Configuration::kMaxMembers) return false;
    for (uint16_t i = 0; i < count; ++i) {
        uint64_t node = 0, replica = 0;
        if (!reader.take_le(node) || !reader.take_le(replica)) return false;
        list.push_back({NodeId(node), ReplicaId(replica)});
    }
    return std::is_sorted(list.begin(), list.end());
}

std::string list_text(const std::vector<Member>& list, char letter) {
    std::string text;
    for (const Member& member : list) {
        if (!text.empty()) text += ',';
        text += letter + std::to_string(member.node.value);
    }
    return text;
}

}  // namespace

std::string_view vote_result_name(VoteResult result) {
    switch (result) {
        case VoteResult::Pending: return "pending";
        case VoteResult::Won: return "won";
        case VoteResult::Lost: return "lost";
    }
    return "?";
}

Configuration::Configuration() : parts_(std::make_shared<const Parts>()) {}

Result<Configuration> Configuration::make(Parts parts) {
    if (parts.voters.empty()) return Error(Code::Invalid, "a configuration needs a voter");
    if (!tidy(parts.voters) || !tidy(parts.outgoing) || !tidy(parts.learners) || !tidy(parts.promoting))
        return Error(Code::Invalid, "a zero id, a node twice in one list, or more than 64 members");
    for (const Member& learner : parts.learners) {
        if (holds(parts.voters, learner))
            return Error(Code::Invalid, "node " + std::to_string(learner.node.value) +
                                            " is both voter and learner");
        const Member* in = find_in(parts.voters, learner.node);
        const Member* out = find_in(parts.outgoing, learner.node);
        if (in != nullptr && out != nullptr && *in != *out && learner != *out)
            return Error(Code::Invalid, "one node with three replica ids");
    }
    for (const Member& member : parts.promoting)
        if (!holds(parts.learners, member))
            return Error(Code::Invalid, "node " + std::to_string(member.node.value) + " is to be promoted but no learner");
    if (parts.lease.promise.ns < 0 || parts.lease.promise > Lease::kMaxPromise || parts.lease.drift_ppm >= Lease::kMaxDriftPpm ||
        (!parts.lease.on() && parts.lease.drift_ppm != 0))
        return Error(Code::Invalid, "a lease is promised for at most an hour, with a drift below 500000 ppm");
    auto named = [&](Member member) {
        return holds(parts.voters, member) || holds(parts.outgoing, member) || holds(parts.learners, member);
    };
    for (const auto& [member, contact] : parts.contacts)
        if (contact.size() > kMaxContactBytes) return Error(Code::Invalid, "a contact is too long");
    std::erase_if(parts.contacts, [&](const auto& entry) { return entry.second.empty() || !named(entry.first); });
    return Configuration(std::make_shared<const Parts>(std::move(parts)));
}

Result<Configuration> Configuration::make(std::vector<Member> voters, std::vector<Member> outgoing,
                                          std::vector<Member> learners) {
    return make(Parts{.voters = std::move(voters), .outgoing = std::move(outgoing), .learners = std::move(learners)});
}

Result<Configuration> Configuration::decode(ByteView bytes) {
    ByteReader reader(bytes);
    uint8_t version = 0;
    Parts parts;
    if (!reader.take_le(version) || version != kVersion)
        return Error(Code::Corrupt, "configuration of unknown version");
    const Error wrong(Code::Corrupt, "configuration of wrong length or order");
    for (auto* list : {&parts.voters, &parts.outgoing, &parts.learners, &parts.promoting})
        if (!take_list(reader, *list)) return wrong;
    uint16_t contacts = 0;
    if (!reader.take_le(contacts) || contacts > 3 * kMaxMembers) return wrong;
    for (uint16_t i = 0; i < contacts; ++i) {
        uint64_t node = 0, replica = 0;
        ByteView contact;
        if (!reader.take_le(node) || !reader.take_le(replica) || !reader.take_string(contact) || contact.empty())
            return wrong;
        const Member member{NodeId(node), ReplicaId(replica)};
        if (!parts.contacts.empty() && member <= parts.contacts.rbegin()->first) return wrong;
        parts.contacts.emplace(member, contact);
    }
    uint64_t promise_ns = 0;
    if (!reader.take_le(promise_ns) || !reader.take_le(parts.lease.drift_ppm) || promise_ns > static_cast<uint64_t>(Lease::kMaxPromise.ns) ||
        !reader.empty())
        return wrong;
    parts.lease.promise = {static_cast<int64_t>(promise_ns)};
    auto made = make(std::move(parts));
    if (!made.ok()) return Error(Code::Corrupt, made.error().context);
    if (made->contacts().size() != contacts) return Error(Code::Corrupt, "a contact of no member");
    return made;
}

Bytes Configuration::encode() const {
    Bytes out;
    put_le<uint8_t>(out, kVersion);
    for (const auto* list : {&voters(), &outgoing(), &learners(), &promoting()}) put_list(out, *list);
    put_le<uint16_t>(out, static_cast<uint16_t>(contacts().size()));
    for (const auto& [member, contact] : contacts()) {
        put_le<uint64_t>(out, member.node.value);
        put_le<uint64_t>(out, member.replica.value);
        put_string(out, contact);
    }
    put_le<uint64_t>(out, static_cast<uint64_t>(lease().promise.ns));
    put_le<uint32_t>(out, lease().drift_ppm);
    return out;
}

std::vector<Member> Configuration::members() const {
    std::vector<Member> all = voters();
    for (const auto* list : {&outgoing(), &learners()})
        for (const Member& member : *list)
            if (std::find(all.begin(), all.end(), member) == all.end()) all.push_back(member);
    std::sort(all.begin(), all.end());
    return all;
}

std::optional<Member> Configuration::find(NodeId node) const {
    // The newest first: a learner beside a voter of its node is there to take its place, and has taken it when the voter is
    // on its way out.
    for (const auto* list : {&learners(), &voters(), &outgoing()})
        if (const Member* found = find_in(*list, node)) return *found;
    return std::nullopt;
}

bool Configuration::is_member(Member member) const { return find(member.node) == member; }

bool Configuration::names(Member member) const {
    return holds(voters(), member) || holds(outgoing(), member) || holds(learners(), member);
}

bool Configuration::is_promoting(Member member) const { return holds(promoting(), member); }

ByteView Configuration::contact(Member member) const {
    auto found = contacts().find(member);
    return found == contacts().end() ? ByteView() : ByteView(found->second);
}

bool Configuration::is_voter(Member member) const {
    return holds(voters(), member) || holds(outgoing(), member);
}

uint64_t Configuration::quorum_value(FunctionRef<uint64_t(Member)> reached) const {
    if (ORRERY_DEFECT(learner_counts) && !learners().empty()) {
        std::vector<Member> counted = voters();  // by the voters' majority, but whoever fills it
        uint64_t values[3 * kMaxMembers];
        size_t size = 0;
        counted.insert(counted.end(), learners().begin(), learners().end());
        for (const Member& member : counted) values[size++] = reached(member);
        std::sort(values, values + size, std::greater<>());
        return values[majority_of(voters()) - 1];
    }
    uint64_t incoming = half_value(voters(), reached);
    return joint() && !ORRERY_DEFECT(joint_counts_new_only) ? std::min(incoming, half_value(outgoing(), reached)) : incoming;
}

VoteResult Configuration::vote_result(FunctionRef<VoteAnswer(Member)> answer) const {
    VoteResult of_new = half_result(voters(), answer);
    if (!joint() || ORRERY_DEFECT(joint_counts_new_only)) return of_new;
    VoteResult of_old = half_result(outgoing(), answer);
    if (of_new == VoteResult::Lost || of_old == VoteResult::Lost) return VoteResult::Lost;
    return of_new == of_old ? of_new : VoteResult::Pending;
}

Result<void> Configuration::check_successor(const Configuration& next) const {
    if (empty() || next.empty()) return Error(Code::Invalid, "an empty configuration has no successor");
    if (joint()) {
        if (next.joint()) return Error(Code::Invalid, "the present change is not finished");
        if (next.voters() != voters())
            return Error(Code::Invalid, "a joint configuration ends with its own voters");
        return {};
    }
    if (next.joint()) {
        if (next.outgoing() != voters())
            return Error(Code::Invalid, "the outgoing voters are not the present ones");
        return {};
    }
    std::vector<Member> changed;
    std::set_symmetric_difference(voters().begin(), voters().end(), next.voters().begin(),
                                  next.voters().end(), std::back_inserter(changed));
    if (changed.size() > 1)
        return Error(Code::Invalid, "more than one voter changes: a joint configuration is needed");
    return {};
}

std::string Configuration::text() const {
    std::string text = list_text(voters(), 'v');
    if (joint()) text += "/" + list_text(outgoing(), 'v');
    std::vector<Member> staying;
    for (const Member& learner : learners())
        if (!is_promoting(learner)) staying.push_back(learner);
    if (!staying.empty()) text += " " + list_text(staying, 'l');
    if (!promoting().empty()) text += " " + list_text(promoting(), 'p');
    if (lease().on()) text += " lease " + std::to_string(lease().promise.as_millis()) + "ms";
    return text;
}

}  // namespace orrery::raft
