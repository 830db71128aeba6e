#include "kv/client_transaction.h"

#include <algorithm>
#include <set>

#include "runtime/base/check.h"

namespace orrery::kv {

bool belongs_to_group(const CommandInfo& command) { return command.route == Route::Read || command.route == Route::Write; }

bool acts_inside_multi(CommandId id) {
    switch (id) {
        case CommandId::Discard:
        case CommandId::Exec:
        case CommandId::Multi:
        case CommandId::Quit:
        case CommandId::Reset:
        case CommandId::Watch: return true;
        default: return false;
    }
}

Reply ClientTransaction::begin() {
    if (open_) return Reply::error("ERR MULTI calls can not be nested");
    open_ = true;
    return Reply::ok();
}

Reply ClientTransaction::refused(ArgvView argv, Reply refusal) {
    broken_ |= open_;
    const CommandInfo* command = find_command(argv[0]);
    if (command == nullptr || command->id != CommandId::Exec) return refusal;
    discard();
    const ByteView text = refusal.text;
    return Reply::error("EXECABORT Transaction discarded because of: " + Bytes(text.substr(text.find(' ') + 1)));
}

Reply ClientTransaction::queue(ArgvView argv, uint64_t bytes_max) {
    CHECK(open_);
    if (broken_) return Reply::simple("QUEUED");  // EXEC does nothing anyway: not kept
    uint64_t more = 4;
    for (ByteView word : argv) more += 4 + word.size();
    if (queued_.size() >= kCommandsMax || queued_bytes_ + watch_bytes_ + more > bytes_max) {
        broken_ = true;
        queued_ = {};
        return Reply::error("ERR the transaction is too large: at most " + std::to_string(kCommandsMax) + " commands and " +
                            std::to_string(bytes_max) + " bytes");
    }
    queued_bytes_ += more;
    queued_.push_back(resp::copy_of(argv));
    return Reply::simple("QUEUED");
}

Result<Reply> ClientTransaction::watch(ArgvView keys, const Reply& found, uint64_t bytes_max) {
    bool sane = found.kind == Reply::Kind::Array && found.items.size() == keys.size() + 1;
    for (const Reply& item : found.items) sane &= item.kind == Reply::Kind::Integer && item.number >= 0;
    if (!sane) return Error(Code::Corrupt, "the answer to a watch makes no sense");
    const LogIndex seen_at(static_cast<uint64_t>(found.items[0].number));
    std::set<ByteView> known;
    for (const Watch& watch : watches_) known.insert(watch.key);
    std::vector<Watch> more;
    uint64_t bytes = watch_bytes_;
    for (size_t i = 0; i < keys.size(); ++i) {
        if (!known.insert(keys[i]).second) continue;
        more.push_back({Bytes(keys[i]), LogIndex(static_cast<uint64_t>(found.items[i + 1].number)), seen_at});
        bytes += 20 + keys[i].size();
    }
    if (bytes > bytes_max / 2) return Reply::error("ERR too much is watched: at most " + std::to_string(bytes_max / 2) + " bytes of keys");
    watch_bytes_ = bytes;
    std::ranges::move(more, std::back_inserter(watches_));
    return Reply::ok();
}

void ClientTransaction::unwatch() {
    watches_ = {};
    watch_bytes_ = 0;
}

void ClientTransaction::discard() { *this = ClientTransaction(); }

Transaction ClientTransaction::for_group() const {
    Transaction out;
    for (const Watch& watch : watches_) out.watches.push_back({watch.key, watch.modified, watch.seen_at});
    for (const Argv& argv : queued_)
        if (belongs_to_group(*find_command(argv.front()))) out.commands.push_back(resp::views_of(argv));
    return out;
}

}  // namespace orrery::kv
