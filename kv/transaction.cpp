#include "kv/transaction.h"

#include "runtime/base/check.h"

namespace orrery::kv {
namespace {

Error malformed_transaction(std::string_view what) { return {Code::Corrupt, "kv transaction: " + std::string(what)}; }

}  // namespace

Bytes encode_transaction(const Transaction& transaction) {
    CHECK(transaction.mode == TransactionMode::Exec || transaction.watches.empty());
    size_t bytes = 17;
    for (const WatchView& watch : transaction.watches) bytes += 20 + watch.key.size();
    for (const auto& command : transaction.commands) {
        bytes += 4;
        for (ByteView word : command) bytes += 4 + word.size();
    }
    Bytes out;
    out.reserve(bytes);
    put_le<uint8_t>(out, static_cast<uint8_t>(transaction.mode));
    put_le<uint64_t>(out, transaction.draw);
    put_le<uint32_t>(out, static_cast<uint32_t>(transaction.watches.size()));
    for (const WatchView& watch : transaction.watches) {
        put_le<uint64_t>(out, watch.modified.value);
        put_le<uint64_t>(out, watch.seen_at.value);
        put_string(out, watch.key);
    }
    put_le<uint32_t>(out, static_cast<uint32_t>(transaction.commands.size()));
    for (const auto& command : transaction.commands) {
        CHECK(!command.empty());
        put_le<uint32_t>(out, static_cast<uint32_t>(command.size()));
        for (ByteView word : command) put_string(out, word);
    }
    return out;
}

Result<Transaction> decode_transaction(ByteView bytes) {
    ByteReader reader(bytes);
    Transaction out;
    uint8_t mode = 0;
    uint32_t watches = 0, commands = 0;
    if (!reader.take_le(mode)) return malformed_transaction("empty");
    if (mode < 1 || mode > 2) return malformed_transaction("mode " + std::to_string(mode));
    out.mode = static_cast<TransactionMode>(mode);
    if (!reader.take_le(out.draw) || !reader.take_le(watches)) return malformed_transaction("cut short");
    if (watches > 0 && out.mode == TransactionMode::Pipeline) return malformed_transaction("a pipeline that watches");
    if (watches > reader.rest().size() / 20) return malformed_transaction("more watches than bytes");
    out.watches.reserve(watches);
    for (uint32_t i = 0; i < watches; ++i) {
        WatchView watch;
        if (!reader.take_le(watch.modified.value) || !reader.take_le(watch.seen_at.value) || !reader.take_string(watch.key))
            return malformed_transaction("cut short");
        out.watches.push_back(watch);
    }
    if (!reader.take_le(commands)) return malformed_transaction("cut short");
    if (commands > reader.rest().size() / 8) return malformed_transaction("more commands than bytes");
    out.commands.reserve(commands);
    for (uint32_t i = 0; i < commands; ++i) {
        uint32_t words = 0;
        if (!reader.take_le(words)) return malformed_transaction("cut short");
        if (words == 0) return malformed_transaction("command without words");
        if (words > reader.rest().size() / 4) return malformed_transaction("more words than bytes");
        std::vector<ByteView>& command = out.commands.emplace_back();
        command.reserve(words);
        for (uint32_t j = 0; j < words; ++j) {
            ByteView word;
            if (!reader.take_string(word)) return malformed_transaction("cut short");
            command.push_back(word);
        }
    }
    if (!reader.empty()) return malformed_transaction("trailing bytes");
    return out;
}

}  // namespace orrery::kv
