// MULTI/EXEC at apply: the watches against the state that the entry meets, then the commands one after the other on an overlay.
#include "kv/execute_run.h"
#include "kv/overlay.h"
#include "runtime/base/check.h"
#include "runtime/base/defect.h"
#include "runtime/base/hash.h"

namespace orrery::kv {
namespace {

/// The keyspace as the next command of the transaction sees it.
class TransactionView : public KeyspaceView {
 public:
    TransactionView(const Overlay& overlay, KeyspaceView& below) : overlay_(overlay), below_(below) {}
    Result<RecordRef> get(const HashedKey& key) override { return overlay_.get(key, below_); }
    Result<Stretch> stretch(uint64_t position, size_t records_max) override {
        return overlay_.stretch(position, records_max, below_);
    }

 private:
    const Overlay& overlay_;
    KeyspaceView& below_;
};

Result<bool> unchanged(const WatchView& watch, const ExecuteContext& context, KeyspaceView& view, FunctionRef<LogIndex(uint64_t)> created_at) {
    const HashedKey key(watch.key);
    TRY(const RecordRef record, view.get(key));
    const bool live = record && !record->expired(context.time);
    if (watch.modified.value != 0) return live && record->modified() == watch.modified;
    return !live && created_at(key.hash) <= watch.seen_at;
}

bool allowed(const CheckedRequest& request) {
    return request.command != nullptr && request.command->id != CommandId::Watch &&
           (request.command->route == Route::Read || request.command->route == Route::Write);
}

constexpr uint64_t kSmallReplyBytes = 256;  // always kept

}  // namespace

Result<Executed> execute_transaction(const Transaction& transaction, const ExecuteContext& context, KeyspaceView& view,
                                     FunctionRef<LogIndex(uint64_t)> created_at) {
    CHECK(context.now == context.time, context.now.ns, context.time.ns);
    Executed all;
    for (const WatchView& watch : transaction.watches) {
        TRY(const bool same, unchanged(watch, context, view, created_at));
        if (same || ORRERY_DEFECT(watch_ignored)) continue;
        all.reply = Reply::null_array();
        return all;
    }
    Overlay overlay;
    TransactionView inside(overlay, view);
    std::vector<Reply> replies;
    replies.reserve(transaction.commands.size());
    uint64_t bytes = 0;
    for (const std::vector<ByteView>& words : transaction.commands) {
        const CheckedRequest request = check_request(words);
        if (!allowed(request)) {
            replies.push_back(request.command == nullptr ? request.refusal : Reply::error("ERR Command not allowed inside a transaction"));
            continue;
        }
        ExecuteContext own = context;
        own.keys = (all.flush ? 0 : context.keys) + static_cast<uint64_t>(all.keys_delta);
        own.draw = combine64(context.draw, replies.size());
        TRY(Executed done, execute(words, own, inside));
        const uint64_t more = reply_bytes(done.reply);
        if (transaction.mode == TransactionMode::Pipeline && !replies.empty() && bytes + more > context.pipeline_bytes_max) break;
        if (done.flush) {
            overlay.flush();
            all.flush = true;
            all.keys_delta = all.volatile_delta = 0;
        }
        for (RecordRef& mutation : done.mutations) overlay.set(std::move(mutation));
        all.keys_delta += done.keys_delta;
        all.volatile_delta += done.volatile_delta;
        all.created.insert(all.created.end(), done.created.begin(), done.created.end());
        all.hits += done.hits;
        all.misses += done.misses;
        const bool exec = transaction.mode == TransactionMode::Exec;
        if (exec && more > kSmallReplyBytes && bytes + more > context.reply_bytes_max) {
            replies.push_back(reply_too_large(context));
        } else {
            replies.push_back(std::move(done.reply));
            bytes += more;
        }
    }
    all.mutations.assign(overlay.records().begin(), overlay.records().end());
    all.reply = Reply::array(std::move(replies));
    return all;
}

}  // namespace orrery::kv
