#include "node/raft/node_directory.h"

#include <algorithm>

#include "node/raft/core/configuration.h"
#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/defect.h"
#include "runtime/env/file_tree.h"

namespace orrery::raft {

namespace {

// A small file of ours: magic, crc32c of what follows, then the payload.
constexpr std::string_view kMagic = "orrery1\n";
constexpr uint64_t kMaxFileBytes = 1 << 20;
constexpr size_t kMaxTombstones = 4096;
constexpr std::string_view kAside = "retired";

Result<void> write_small_file(Blocking& blocking, Disk& disk, const std::string& name, ByteView payload) {
    Bytes bytes(kMagic);
    put_le<uint32_t>(bytes, crc32c(payload));
    bytes.append(payload);
    const std::string temporary = name + ".new";
    {
        TRY(std::unique_ptr<File> file, disk.open(blocking, temporary, OpenMode::CreateTruncate));
        TRY(file->pwrite(blocking, 0, bytes));
        TRY(file->sync(blocking));
    }
    TRY(disk.rename(blocking, temporary, name));
    return disk.sync_dir(blocking, "");
}

/// nullopt when there is no such file.
Result<std::optional<Bytes>> read_small_file(Blocking& blocking, Disk& disk, const std::string& name) {
    Result<std::unique_ptr<File>> file = disk.open(blocking, name, OpenMode::Read);
    if (file.failed_with(Code::NotFound)) return std::optional<Bytes>();
    if (!file.ok()) return file.error();
    TRY(uint64_t size, (*file)->size(blocking));
    const Error corrupt(Code::Corrupt, "file '" + name + "' is damaged; restore it from a copy, or wipe the data directory and "
                                       "replace the member");
    if (size < kMagic.size() + 4 || size > kMaxFileBytes) return corrupt;
    Bytes bytes(size, '\0');
    TRY(size_t read, (*file)->pread(blocking, 0, bytes));
    if (read != size || !ByteView(bytes).starts_with(kMagic)) return corrupt;
    const ByteView payload = ByteView(bytes).substr(kMagic.size() + 4);
    if (get_le<uint32_t>(bytes.data() + kMagic.size()) != crc32c(payload)) return corrupt;
    return std::optional<Bytes>(Bytes(payload));
}

Bytes encode_identity(NodeId node, Incarnation incarnation, const std::vector<Incarnation>& tombstones) {
    Bytes payload;
    put_le<uint64_t>(payload, node.value);
    put_le<uint64_t>(payload, incarnation.value);
    for (Incarnation tombstone : tombstones) put_le<uint64_t>(payload, tombstone.value);
    return payload;
}

std::string hex(uint64_t value) {
    std::string out;
    for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[value >> shift & 15];
    return out;
}

}  // namespace

Result<std::unique_ptr<NodeDirectory>> NodeDirectory::open(Fiber& fiber, Env& env, Options options) {
    std::unique_ptr<NodeDirectory> directory(new NodeDirectory(env, std::move(options)));
    const NodeId node = directory->options_.node;
    if (!node) return Error(Code::Invalid, "the node id must not be 0");
    const Incarnation fresh(std::max<uint64_t>(1, env.random.stream("node.incarnation").next()));
    struct OnDisk {
        NodeId node;
        Incarnation incarnation;
        std::vector<Incarnation> tombstones;
        std::optional<Bytes> founding;
        std::optional<Bytes> joined;
        std::optional<Bytes> retired;
    };
    TRY(OnDisk found, env.blocking(fiber, [&](Blocking& blocking) -> Result<OnDisk> {
        OnDisk out;
        TRY(std::optional<Bytes> identity, read_small_file(blocking, env.disk, "identity"));
        if (!identity) {
            Bytes payload = encode_identity(node, fresh, {});
            TRY(write_small_file(blocking, env.disk, "identity", payload));
            identity = std::move(payload);
        }
        if (identity->size() < 16 || identity->size() % 8 != 0) return Error(Code::Corrupt, "file 'identity' has the wrong length");
        out.node = NodeId(get_le<uint64_t>(identity->data()));
        out.incarnation = Incarnation(get_le<uint64_t>(identity->data() + 8));
        for (size_t at = 16; at < identity->size(); at += 8) out.tombstones.push_back(Incarnation(get_le<uint64_t>(identity->data() + at)));
        if (std::find(out.tombstones.begin(), out.tombstones.end(), out.incarnation) != out.tombstones.end())
            return Error(Code::Corrupt, "file 'identity' names a life that has ended");
        TRY(out.founding, read_small_file(blocking, env.disk, "founding"));
        TRY(out.joined, read_small_file(blocking, env.disk, "joined"));
        TRY(out.retired, read_small_file(blocking, env.disk, "retiring"));
        return out;
    }));
    if (found.node != node)
        return Error(Code::Invalid, "the data directory belongs to node " + std::to_string(found.node.value) + ", configured is node " +
                                        std::to_string(node.value) + "; give each node a directory of its own");
    directory->identity_.node = node;
    directory->identity_.incarnation = found.incarnation;
    directory->tombstones_ = std::move(found.tombstones);
    if (found.retired) {
        TRY(wire::JoinRequest ended, wire::decode_join_request(*found.retired));
        directory->retired_ = Retired{ended.founding, ended.group, ended.replica, ended.since, Bytes(ended.configuration)};
        // A crash came in the middle: the old life's files are still there, or even its incarnation.
        const bool of_this_life = found.joined && !found.founding && [&] {
            Result<wire::JoinRequest> joined = wire::decode_join_request(*found.joined);
            return joined.ok() && joined->replica.value == found.incarnation.value;
        }();
        if (found.incarnation.value == ended.replica.value || found.founding || (found.joined && !of_this_life)) {
            TRY(directory->begin_new_life(fiber, "an earlier start was cut short while it did so"));
            found.founding.reset();
            found.joined.reset();
        }
    }
    if (found.founding) {
        TRY(wire::FoundingRecord record, wire::decode_founding_record(*found.founding));
        directory->identity_.cluster = record.cluster();
        directory->founding_ = std::move(record);
    } else if (found.joined) {
        // The wire form of the request: aligned anew, since a message may be read in place.
        TRY(wire::JoinRequest request, wire::decode_join_request(*found.joined));
        directory->identity_.cluster = request.founding.cluster();
        directory->joined_ = Joined{request.since, Bytes(request.configuration)};
        directory->founding_ = std::move(request.founding);
    }
    env.tracer.info("node.identity", {{"node", node},
                                      {"incarnation", directory->identity_.incarnation},
                                      {"cluster", directory->identity_.cluster}});
    return directory;
}

wire::NodeIdentity NodeDirectory::node_identity() const {
    return {identity_.node, identity_.incarnation, options_.peer_address, options_.service_address};
}

Result<void> NodeDirectory::wait_founded(Fiber& fiber) {
    TRY(fiber.maybe_yield());
    while (!founding_) TRY(founded_.wait(fiber));
    return {};
}

Result<void> NodeDirectory::found(Fiber& fiber, const wire::FoundingRecord& record) {
    TRY(Mutex::Lock lock, writing_.lock(fiber));
    if (founding_) {
        if (founding_->cluster() == record.cluster()) return {};
        return Error(Code::Exists, "this node belongs to another cluster already");
    }
    if (retired_) return Error(Code::Exists, "this node waits to be taken back into its cluster, from which damage took it; it founds no other");
    const bool named = std::any_of(record.members.begin(), record.members.end(), [&](const wire::NodeIdentity& member) {
        return member.node == identity_.node && member.incarnation == identity_.incarnation;
    });
    if (!named) return Error(Code::Invalid, "the founding record does not name this life of node " + std::to_string(identity_.node.value));
    TRY(env_.blocking(fiber, [&](Blocking& blocking) {
        return write_small_file(blocking, env_.disk, "founding", wire::encode_founding_record(record));
    }));
    founding_ = record;
    identity_.cluster = record.cluster();
    env_.tracer.info("node.founded", {{"cluster", identity_.cluster}, {"members", static_cast<int64_t>(record.members.size())}});
    founded_.notify_all();
    return {};
}

Result<void> NodeDirectory::join(Fiber& fiber, const wire::JoinRequest& request) {
    TRY(Mutex::Lock lock, writing_.lock(fiber));
    if (founding_) {
        if (founding_->cluster() == request.founding.cluster()) return {};
        return Error(Code::Exists, "this node belongs to another cluster already");
    }
    if (retired_ && retired_->founding.cluster() != request.founding.cluster())
        return Error(Code::Exists, "this node waits to be taken back into another cluster");
    const Member self{identity_.node, ReplicaId(identity_.incarnation.value)};
    TRY(Configuration configuration, Configuration::decode(request.configuration));
    if (request.node != self.node || request.replica != self.replica || !configuration.names(self))
        return Error(Code::Invalid, "the leader's word does not name this life of node " + std::to_string(self.node.value));
    const Bytes encoded = wire::encode_join_request(request);
    Joined joined{request.since, Bytes(request.configuration)};
    TRY(env_.blocking(fiber, [&](Blocking& blocking) { return write_small_file(blocking, env_.disk, "joined", encoded); }));
    founding_ = request.founding;
    joined_ = std::move(joined);
    identity_.cluster = founding_->cluster();
    env_.tracer.info("node.joined", {{"cluster", identity_.cluster}, {"since", joined_->since}, {"configuration", configuration.text()}});
    founded_.notify_all();
    return {};
}

// ---- the end of a life, and the next ----------------------------------------------------------------------------

Result<void> NodeDirectory::retire(Fiber& fiber, Retired ending, const std::string& why) {
    TRY(Mutex::Lock lock, writing_.lock(fiber));
    CHECK(founding_.has_value() && ending.replica.value == identity_.incarnation.value, ending.replica);
    if (ORRERY_DEFECT(damaged_keeps_replica_id)) return put_aside(fiber, identity_.incarnation, {});
    if (tombstones_.size() >= kMaxTombstones) return Error(Code::Exists, "this data directory has had too many lives; wipe it and replace the member");
    wire::JoinRequest record;
    record.founding = ending.founding;
    record.group = ending.group;
    record.node = identity_.node;
    record.replica = ending.replica;
    record.since = ending.since;
    record.configuration = ending.configuration;
    // From here on the old life does not start again, whatever happens.
    const Bytes encoded = wire::encode_join_request(record);
    TRY(env_.blocking(fiber, [&](Blocking& blocking) { return write_small_file(blocking, env_.disk, "retiring", encoded); }));
    retired_ = std::move(ending);
    return begin_new_life(fiber, why);
}

Result<void> NodeDirectory::begin_new_life(Fiber& fiber, const std::string& why) {
    const Incarnation ended(retired_->replica.value);
    if (identity_.incarnation == ended) {
        std::vector<Incarnation> tombstones = tombstones_;
        tombstones.push_back(ended);
        RandomStream draws = env_.random.stream("node.new_life", ended.value);
        Incarnation fresh;
        while (!fresh || std::find(tombstones.begin(), tombstones.end(), fresh) != tombstones.end()) fresh = Incarnation(draws.next());
        const Bytes payload = encode_identity(identity_.node, fresh, tombstones);
        TRY(env_.blocking(fiber, [&](Blocking& blocking) { return write_small_file(blocking, env_.disk, "identity", payload); }));
        identity_.incarnation = fresh;
        tombstones_ = std::move(tombstones);
    }
    env_.tracer.error("replica.retired", {{"group", retired_->group},
                                          {"replica", ended},
                                          {"successor", identity_.incarnation},
                                          {"why", why},
                                          {"next", "its files are kept in 'retired'; the node asks the group to take its new replica in the place of this one"}});
    env_.tracer.probe("replica.retired");
    TRY(put_aside(fiber, ended, {"founding", "joined"}));
    founding_.reset();
    joined_.reset();
    identity_.cluster = ClusterId();
    return {};
}

/// Everything that the old life left goes to retired/<its incarnation>/: directories first, then `files`, which say that it was in
/// a cluster, so that a crash anywhere before is known by them.
Result<void> NodeDirectory::put_aside(Fiber& fiber, Incarnation ended, std::vector<std::string> files) {
    return env_.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
        Disk& disk = env_.disk;
        const std::string aside = std::string(kAside) + "/" + hex(ended.value);
        for (const std::string& directory : {std::string(kAside), aside})
            if (Result<void> made = disk.create_dir(blocking, directory); !made.ok() && made.code() != Code::Exists) return made;
        TRY(disk.sync_dir(blocking, ""));
        TRY(disk.sync_dir(blocking, std::string(kAside)));
        TRY(std::vector<Disk::Entry> entries, disk.list(blocking, ""));
        for (const Disk::Entry& entry : entries)
            if (entry.is_dir && entry.name != kAside) TRY(disk.rename(blocking, entry.name, aside + "/" + entry.name));
        TRY(disk.sync_dir(blocking, aside));
        TRY(disk.sync_dir(blocking, ""));
        for (const std::string& name : files) {
            Result<void> moved = disk.rename(blocking, name, aside + "/" + name);
            if (!moved.ok() && moved.code() != Code::NotFound) return moved;
        }
        TRY(disk.sync_dir(blocking, aside));
        return disk.sync_dir(blocking, "");
    });
}

Result<void> NodeDirectory::drop_retired(Fiber& fiber) {
    TRY(Mutex::Lock lock, writing_.lock(fiber));
    if (!retired_) return {};
    TRY(env_.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
        TRY(remove_tree(blocking, env_.disk, std::string(kAside)));
        TRY(env_.disk.sync_dir(blocking, ""));
        TRY(env_.disk.remove(blocking, "retiring"));
        return env_.disk.sync_dir(blocking, "");
    }));
    env_.tracer.info("replica.retired_dropped", {{"replica", retired_->replica}});
    retired_.reset();
    return {};
}

}  // namespace orrery::raft
