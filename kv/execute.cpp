#include "kv/execute.h"

#include <algorithm>

#include "kv/execute_run.h"
#include "kv/text_case.h"
#include "runtime/base/check.h"

namespace orrery::kv {
namespace {

Result<Reply> run_flush(Run& run, ArgvView argv) {
    if (argv.size() > 2 || (argv.size() == 2 && !is_word(argv[1], "sync") && !is_word(argv[1], "async")))
        return Reply::error("ERR syntax error");
    run.out.flush = true;
    return Reply::ok();
}

Result<Reply> dispatch(const CommandInfo& command, Run& run, ArgvView argv) {
    switch (command.id) {
        case CommandId::Append: return run_append(run, argv);
        case CommandId::Copy: return run_copy(run, argv);
        case CommandId::Dbsize: return Reply::integer(static_cast<int64_t>(run.context.keys));
        case CommandId::Decr:
        case CommandId::Decrby:
        case CommandId::Incr:
        case CommandId::Incrby: return run_increment(run, argv, command.id);
        case CommandId::Del:
        case CommandId::Unlink: return run_del(run, argv);
        case CommandId::Exists:
        case CommandId::Touch: return run_exists(run, argv);
        case CommandId::Expire:
        case CommandId::Expireat:
        case CommandId::Pexpire:
        case CommandId::Pexpireat: return run_expire(run, argv, command.id);
        case CommandId::Expiretime:
        case CommandId::Pexpiretime:
        case CommandId::Pttl:
        case CommandId::Ttl: return run_time_to_live(run, argv, command.id);
        case CommandId::Flushall:
        case CommandId::Flushdb: return run_flush(run, argv);
        case CommandId::Get: return run_get(run, argv);
        case CommandId::Getex: return run_getex(run, argv);
        case CommandId::Getrange:
        case CommandId::Substr: return run_getrange(run, argv);
        case CommandId::Getdel: return run_getdel(run, argv);
        case CommandId::Getset: return run_getset(run, argv);
        case CommandId::Incrbyfloat: return run_incrbyfloat(run, argv);
        case CommandId::Keys: return run_keys(run, argv);
        case CommandId::Mget: return run_mget(run, argv);
        case CommandId::Mset:
        case CommandId::Msetnx: return run_mset(run, argv, command.id);
        case CommandId::Object: return run_object(run, argv);
        case CommandId::Persist: return run_persist(run, argv);
        case CommandId::Psetex:
        case CommandId::Setex: return run_setex(run, argv, command.id);
        case CommandId::Randomkey: return run_randomkey(run);
        case CommandId::Rename:
        case CommandId::Renamenx: return run_rename(run, argv, command.id);
        case CommandId::Scan: return run_scan(run, argv);
        case CommandId::Set: return run_set(run, argv);
        case CommandId::Setnx: return run_setnx(run, argv);
        case CommandId::Setrange: return run_setrange(run, argv);
        case CommandId::Strlen: return run_strlen(run, argv);
        case CommandId::Type: return run_type(run, argv);
        case CommandId::Watch: return run_watch(run, argv);
        default: UNREACHABLE(command.name);
    }
}

}  // namespace

std::vector<ByteView> distinct(ArgvView keys) {
    std::vector<ByteView> out(keys.begin(), keys.end());
    if (out.size() < 2) return out;
    std::ranges::sort(out);
    const auto tail = std::ranges::unique(out);
    out.erase(tail.begin(), tail.end());
    return out;
}

uint64_t reply_bytes(const Reply& reply) {
    uint64_t out = 16 + reply.text.size();
    for (const Reply& item : reply.items) out += reply_bytes(item);
    return out;
}

Reply reply_too_large(const ExecuteContext& context) {
    return Reply::error("ERR the reply is larger than " + std::to_string(context.reply_bytes_max) + " bytes; ask for less at once");
}

bool Run::is_live(const Record& record) {
    if (record.expired(context.time)) return false;
    if (record.expired(context.now)) out.tick_needed = true;
    return true;
}

Result<SeenKey> Run::look(const HashedKey& key) {
    TRY(RecordRef record, view_.get(key));
    SeenKey seen{key};
    if (record) {
        seen.stored = true;
        seen.stored_volatile = record->expire_at_ms() != 0;
        if (is_live(*record)) seen.live = std::move(record);
    }
    ++(seen.live ? out.hits : out.misses);
    return seen;
}

void Run::put(const SeenKey& seen, ByteView data, int64_t expire_at_ms) {
    out.keys_delta += seen.stored ? 0 : 1;
    out.volatile_delta += (expire_at_ms != 0) - (seen.stored_volatile ? 1 : 0);
    if (!seen.live) out.created.push_back(seen.key.hash);
    out.mutations.push_back(Record::make(seen.key, {.modified = context.index, .expire_at_ms = expire_at_ms, .data = data}));
}

void Run::remove(const SeenKey& seen) {
    CHECK(seen.stored);
    out.keys_delta -= 1;
    out.volatile_delta -= seen.stored_volatile ? 1 : 0;
    out.mutations.push_back(Record::absent(seen.key));
}

Result<Executed> execute(ArgvView argv, const ExecuteContext& context, KeyspaceView& view) {
    CheckedRequest checked = check_request(argv);
    if (checked.command != nullptr) return execute(Request{argv, checked.command}, context, view);
    // An entry of a newer version may hold what this one does not know; a member must not answer it with an effect.
    Executed refused;
    refused.reply = std::move(checked.refusal);
    return refused;
}

Result<Executed> execute(const Request& request, const ExecuteContext& context, KeyspaceView& view) {
    CHECK(request.command->route == Route::Read || request.command->route == Route::Write, request.command->name);
    CHECK(context.now >= context.time, context.now.ns, context.time.ns);
    Run run(context, view);
    TRY(run.out.reply, dispatch(*request.command, run, request.argv));
    return std::move(run.out);
}

Result<Executed> execute_purge(ArgvView keys, const ExecuteContext& context, KeyspaceView& view) {
    Executed out;
    int64_t removed = 0;
    for (ByteView key : distinct(keys)) {
        TRY(const RecordRef record, view.get(key));
        if (!record || !record->expired(context.time)) continue;
        out.keys_delta -= 1;
        out.volatile_delta -= 1;
        out.mutations.push_back(Record::absent(record->hashed_key()));
        ++removed;
    }
    out.reply = Reply::integer(removed);
    return out;
}

}  // namespace orrery::kv
