// Commands about keys, whatever their value: DEL, RENAME, COPY, KEYS, SCAN, RANDOMKEY, OBJECT, and what WATCH has to see.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "kv/common_replies.h"
#include "kv/execute_run.h"
#include "kv/glob.h"
#include "kv/resp/number.h"
#include "kv/text_case.h"
#include "runtime/base/check.h"
#include "runtime/base/hash.h"

namespace orrery::kv {
namespace {

constexpr size_t kScanCountMax = 4096;     // more is read in several calls: a cursor is cheap
constexpr size_t kStretchRecords = 256;    // of a walk over all keys
constexpr size_t kRandomCandidates = 64;   // RANDOMKEY chooses among so many neighbours, evenly

/// As strtoul() reads it, for Redis does.
std::optional<uint64_t> parse_cursor(ByteView text) {
    const std::string copy(text);
    if (!copy.empty() && (copy[0] == ' ' || (copy[0] >= '\t' && copy[0] <= '\r'))) return std::nullopt;
    char* end = nullptr;
    errno = 0;
    const unsigned long cursor = std::strtoul(copy.c_str(), &end, 10);
    if (*end != '\0' || errno == ERANGE) return std::nullopt;
    return cursor;
}

struct ScanOptions {
    size_t count = 10;
    std::optional<ByteView> pattern;
    std::optional<ByteView> type;
};

std::variant<ScanOptions, Reply> parse_scan_options(ArgvView argv) {
    ScanOptions out;
    for (size_t i = 2; i < argv.size(); i += 2) {
        if (i + 1 == argv.size()) return syntax_error();
        if (is_word(argv[i], "count")) {
            const auto count = resp::parse_int64(argv[i + 1]);
            if (!count) return not_an_integer();
            if (*count < 1) return syntax_error();
            out.count = static_cast<size_t>(std::min<int64_t>(*count, kScanCountMax));
        } else if (is_word(argv[i], "match")) {
            out.pattern = argv[i + 1];
        } else if (is_word(argv[i], "type")) {
            out.type = argv[i + 1];
        } else {
            return syntax_error();
        }
    }
    return out;
}

bool fits(const std::optional<ByteView>& pattern, ByteView key) {
    if (!pattern || *pattern == "*") return true;
    if (key.empty()) return pattern->empty();  // Redis looks at no star when there is nothing to look at
    return glob_match(*pattern, key, LetterCase::Exact);
}

std::string_view encoding_of(ByteView data) {
    if (resp::parse_int64(data)) return "int";
    return data.size() <= 44 ? "embstr" : "raw";
}

}  // namespace

Result<Reply> run_del(Run& run, ArgvView argv) {
    int64_t removed = 0;
    for (ByteView key : distinct(argv.subspan(1))) {
        TRY(const SeenKey seen, run.look(key));
        if (seen.stored) run.remove(seen);
        if (seen.live) ++removed;
    }
    return Reply::integer(removed);
}

Result<Reply> run_exists(Run& run, ArgvView argv) {
    int64_t found = 0;
    for (ByteView key : argv.subspan(1)) {
        TRY(const SeenKey seen, run.look(key));
        if (seen.live) ++found;
    }
    return Reply::integer(found);
}

Result<Reply> run_type(Run& run, ArgvView argv) {
    TRY(const SeenKey seen, run.look(argv[1]));
    return Reply::simple(seen.live ? "string" : "none");
}

Result<Reply> run_rename(Run& run, ArgvView argv, CommandId id) {
    TRY(const SeenKey from, run.look(argv[1]));
    if (!from.live) return Reply::error("ERR no such key");
    const bool always = id == CommandId::Rename;
    if (argv[1] == argv[2]) return always ? Reply::ok() : Reply::integer(0);
    TRY(const SeenKey to, run.look(argv[2]));
    if (to.live && !always) return Reply::integer(0);
    run.put(to, from.live->data(), from.live->expire_at_ms());
    run.remove(from);
    return always ? Reply::ok() : Reply::integer(1);
}

Result<Reply> run_copy(Run& run, ArgvView argv) {
    bool replace = false;
    for (size_t i = 3; i < argv.size(); ++i) {
        if (is_word(argv[i], "replace")) {
            replace = true;
        } else if (is_word(argv[i], "db") && i + 1 < argv.size()) {
            const auto database = resp::parse_int64(argv[++i]);
            if (!database) return not_an_integer();
            if (*database < INT_MIN || *database > INT_MAX)
                return Reply::error("ERR value is out of range, value must between " + std::to_string(INT_MIN) + " and " + std::to_string(INT_MAX));
            if (*database != 0) return Reply::error("ERR DB index is out of range");
        } else {
            return syntax_error();
        }
    }
    if (argv[1] == argv[2]) return Reply::error("ERR source and destination objects are the same");
    TRY(const SeenKey from, run.look(argv[1]));
    if (!from.live) return Reply::integer(0);
    TRY(const SeenKey to, run.look(argv[2]));
    if (to.live && !replace) return Reply::integer(0);
    run.put(to, from.live->data(), from.live->expire_at_ms());
    return Reply::integer(1);
}

Result<Reply> run_keys(Run& run, ArgvView argv) {
    std::vector<Reply> keys;
    uint64_t bytes = 0;
    for (std::optional<uint64_t> position = 0; position;) {
        TRY(KeyspaceView::Stretch stretch, run.stretch(*position, kStretchRecords));
        for (const RecordRef& record : stretch.records) {
            if (!fits(argv[1], record->key()) || !run.is_live(*record)) continue;
            bytes += 16 + record->key().size();
            if (bytes > run.context.reply_bytes_max) return reply_too_large(run.context);
            keys.push_back(Reply::bulk(Bytes(record->key())));
        }
        position = stretch.next;
    }
    return Reply::array(std::move(keys));
}

Result<Reply> run_scan(Run& run, ArgvView argv) {
    const auto cursor = parse_cursor(argv[1]);
    if (!cursor) return Reply::error("ERR invalid cursor");
    auto parsed = parse_scan_options(argv);
    if (auto* refusal = std::get_if<Reply>(&parsed)) return std::move(*refusal);
    const ScanOptions& options = std::get<ScanOptions>(parsed);
    KeyspaceView::Stretch stretch;
    // A cursor that we never gave is beyond all keys: the scan is over.
    if (*cursor < kScanPositions) {
        TRY(stretch, run.stretch(*cursor, options.count));
    }
    std::vector<Reply> keys;
    uint64_t bytes = 0;
    for (const RecordRef& record : stretch.records) {
        if (!fits(options.pattern, record->key()) || !run.is_live(*record)) continue;
        if (options.type && !is_word(*options.type, "string")) continue;
        bytes += 16 + record->key().size();
        if (bytes > run.context.reply_bytes_max) return reply_too_large(run.context);
        keys.push_back(Reply::bulk(Bytes(record->key())));
    }
    return Reply::array({Reply::bulk(std::to_string(stretch.next.value_or(0))), Reply::array(std::move(keys))});
}

Result<Reply> run_randomkey(Run& run) {
    // A drawn place in the order of hashes, and from there an even choice among neighbours: with few keys among all of them.
    const uint64_t start = scan_position(run.context.draw);
    std::vector<Bytes> candidates;
    auto gather = [&](uint64_t from, uint64_t end) -> Result<void> {
        for (std::optional<uint64_t> position = from; position && *position < end && candidates.size() < kRandomCandidates;) {
            TRY(KeyspaceView::Stretch stretch, run.stretch(*position, kRandomCandidates));
            for (const RecordRef& record : stretch.records)
                if (scan_position(record->hash()) < end && run.is_live(*record)) candidates.emplace_back(record->key());
            position = stretch.next;
        }
        return {};
    };
    TRY(gather(start, kScanPositions));
    TRY(gather(0, start));
    if (candidates.empty()) return Reply::null();
    return Reply::bulk(std::move(candidates[mix64(run.context.draw) % candidates.size()]));
}

Result<Reply> run_object(Run& run, ArgvView argv) {
    TRY(const SeenKey seen, run.look(argv[2]));
    if (!seen.live) return Reply::null();
    if (is_word(argv[1], "encoding")) return Reply::bulk(Bytes(encoding_of(seen.live->data())));
    if (is_word(argv[1], "refcount")) return Reply::integer(1);
    // When a key was last used is not kept: a read would have to write.
    if (is_word(argv[1], "idletime")) return Reply::integer(0);
    return Reply::error(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between "
        "policies at runtime LRU and LFU data will take some time to adjust.");
}

Result<Reply> run_watch(Run& run, ArgvView argv) {
    std::vector<Reply> out{Reply::integer(static_cast<int64_t>(run.context.index.value))};
    for (ByteView key : argv.subspan(1)) {
        TRY(const SeenKey seen, run.look(key));
        out.push_back(Reply::integer(seen.live ? static_cast<int64_t>(seen.live->modified().value) : 0));
    }
    return Reply::array(std::move(out));
}

}  // namespace orrery::kv
