#include "node/raft/node_directory.h"

#include <algorithm>

#include "node/raft/core/configuration.h"
#include "runtime/base/crc32c.h"

namespace orrery::raft {

namespace {

// A small file of ours: magic, crc32c of what follows, then the payload.
constexpr std::string_view kMagic = "orrery1\n";
constexpr uint64_t kMaxFileBytes = 1 << 20;

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

}  // namespace

Result<std::unique_ptr<NodeDirectory>> NodeDirectory::open(Fiber& fiber, Env& env, Options options) {
    std::unique_ptr<NodeDirectory> directory(new NodeDirectory(env, std::move(options)));
    const NodeId node = directory->options_.node;
    if (!node) return Error(Code::Invalid, "the node id must not be 0");
    const Incarnation fresh(std::max<uint64_t>(1, env.random.stream("node.incarnation").next()));
    struct OnDisk {
        NodeId node;
        Incarnation incarnation;
        std::optional<Bytes> founding;
        std::optional<Bytes> joined;
    };
    TRY(OnDisk found, env.blocking(fiber, [&](Blocking& blocking) -> Result<OnDisk> {
        OnDisk out;
        TRY(std::optional<Bytes> identity, read_small_file(blocking, env.disk, "identity"));
        if (!identity) {
            Bytes payload;
            put_le<uint64_t>(payload, node.value);
            put_le<uint64_t>(payload, fresh.value);
            TRY(write_small_file(blocking, env.disk, "identity", payload));
            identity = std::move(payload);
        }
        if (identity->size() != 16) return Error(Code::Corrupt, "file 'identity' has the wrong length");
        out.node = NodeId(get_le<uint64_t>(identity->data()));
        out.incarnation = Incarnation(get_le<uint64_t>(identity->data() + 8));
        TRY(out.founding, read_small_file(blocking, env.disk, "founding"));
        TRY(out.joined, read_small_file(blocking, env.disk, "joined"));
        return out;
    }));
    if (found.node != node)
        return Error(Code::Invalid, "the data directory belongs to node " + std::to_string(found.node.value) + ", configured is node " +
                                        std::to_string(node.value) + "; give each node a directory of its own");
    directory->identity_.node = node;
    directory->identity_.incarnation = found.incarnation;
    if (found.founding) {
        TRY(wire::FoundingRecord record, wire::decode_founding_record(*found.founding));
        directory->identity_.cluster = record.cluster();
        directory->founding_ = std::move(record);
        directory->founded_.set();
    } else if (found.joined) {
        // The wire form of the request: aligned anew, since a message may be read in place.
        TRY(wire::JoinRequest request, wire::decode_join_request(*found.joined));
        directory->identity_.cluster = request.founding.cluster();
        directory->joined_ = Joined{request.since, Bytes(request.configuration)};
        directory->founding_ = std::move(request.founding);
        directory->founded_.set();
    }
    env.tracer.info("node.identity", {{"node", node},
                                      {"incarnation", found.incarnation},
                                      {"cluster", directory->identity_.cluster}});
    return directory;
}

wire::NodeIdentity NodeDirectory::node_identity() const {
    return {identity_.node, identity_.incarnation, options_.peer_address, options_.service_address};
}

Result<void> NodeDirectory::found(Fiber& fiber, const wire::FoundingRecord& record) {
    TRY(Mutex::Lock lock, writing_.lock(fiber));
    if (founding_) {
        if (founding_->cluster() == record.cluster()) return {};
        return Error(Code::Exists, "this node belongs to another cluster already");
    }
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
    founded_.set();
    return {};
}

Result<void> NodeDirectory::join(Fiber& fiber, const wire::JoinRequest& request) {
    TRY(Mutex::Lock lock, writing_.lock(fiber));
    if (founding_) {
        if (founding_->cluster() == request.founding.cluster()) return {};
        return Error(Code::Exists, "this node belongs to another cluster already");
    }
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
    founded_.set();
    return {};
}

}  // namespace orrery::raft
