// ExtentWriter: the leader's side of a partition: where appends go, and what overwrites are made of.
//
// Reserving and proposing are one step without a yield, so the log is the only account of what is reserved: the applied state as the
// leader's own no-op found it, and what this writer has proposed since. It is the group's only proposer. What it knows of an extent is
// forgotten with the term.
//
// Not here: who may write what (the service), and sessions that make a repeated request harmless.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "node/data/extent_machine.h"
#include "node/raft/group.h"

namespace orrery::data {

struct ExtentWriterOptions {
    size_t tails_max = 4096;  // extents whose ends are in memory
    int tries_max = 32;       // of an overwrite that others overtake; then Overloaded
};

/// Where bytes went.
struct Written {
    LogIndex index;
    uint64_t offset = 0;  // of the first byte, in the extent
};

/// Errors of all that change something. Certainly without effect: NotLeader (hint), NotReady (no entry of the own term is applied yet,
/// or as begin()), Overloaded, NoSpace, Invalid, NotFound (no such extent, deleted, or freed bytes), Exists, Stale. Maybe done: Unknown.
/// Also Corrupt and Io (overwrites: the bytes to merge with cannot be vouched for), Cancelled. All yield.
class ExtentWriter {
 public:
    /// `machine` is the group's.
    ExtentWriter(Env& env, raft::Group& group, ExtentMachine& machine, ExtentWriterOptions options = {})
        : env_(env), group_(group), machine_(machine), options_(options) {}

    Result<Written> create(Fiber& fiber, ExtentId extent, Instant deadline);
    /// At the next 4 KiB boundary behind the extent's end. `payload`: 1 to kAppendBytesMax bytes.
    Result<Written> append(Fiber& fiber, ExtentId extent, std::shared_ptr<const Bytes> payload, Instant deadline);
    /// Right behind the extent's last byte, as images in the log: for small ones. At most kImagesMax images, and what the log takes.
    Result<Written> append_small(Fiber& fiber, ExtentId extent, ByteView bytes, Instant deadline);
    /// Of bytes that the extent has. Bounds as append_small().
    Result<Written> overwrite(Fiber& fiber, ExtentId extent, uint64_t offset, ByteView bytes, Instant deadline);
    /// Frees [offset, offset + length), multiples of kImageBytes, within the extent.
    Result<Written> punch(Fiber& fiber, ExtentId extent, uint64_t offset, uint64_t length, Instant deadline);
    /// For good.
    Result<Written> remove(Fiber& fiber, ExtentId extent, Instant deadline);

 private:
    struct Image {
        LogIndex index;
        std::shared_ptr<const Bytes> bytes;
    };
    /// An extent as the log has it.
    struct Tail {
        enum class State : uint8_t { None, Live, Deleted };
        State state = State::None;
        bool broken = false;   // an entry was refused when it was applied: this is not what the log says
        uint64_t end = 0;      // bytes
        LogIndex changed;      // the last entry about it
        LogIndex overwritten;  // the last one that is no append
        LogIndex punched;
        std::map<uint64_t, Image> images;  // newest of each block, not applied when last looked at
    };
    struct Begun {
        std::unique_ptr<raft::Group::Proposal> proposal;
        ExtentId extent;
        Written written;
    };
    using Images = std::map<uint64_t, std::shared_ptr<const Bytes>>;

    // extent_writer.cpp
    Result<void> ready();
    Tail* known(ExtentId extent);
    Result<Tail*> tail(Fiber& fiber, ExtentId extent, Instant deadline);
    Result<Tail*> settled_unless(Tail::State state, Fiber& fiber, ExtentId extent, Instant deadline);
    Result<Tail*> live_tail(Fiber& fiber, ExtentId extent, Instant deadline);
    Result<void> make_room();
    Result<Begun> begin(const wire::ExtentCommand& command, std::shared_ptr<const Bytes> attachment, raft::SpaceUse space);
    Result<Written> finish(Fiber& fiber, Begun begun, Instant deadline);
    // extent_overwrite.cpp
    Result<Written> write_images(Fiber& fiber, ExtentId extent, std::optional<uint64_t> offset, ByteView bytes, Instant deadline);
    Result<Begun> begin_images(ExtentId extent, Tail& tail, uint64_t offset, ByteView bytes, const Images& old);

    Env& env_;
    raft::Group& group_;
    ExtentMachine& machine_;
    ExtentWriterOptions options_;
    // Of this term; nothing is known of another.
    Term term_;
    std::map<ExtentId, Tail> tails_;
    ExtentId next_to_forget_;
    uint64_t forgotten_ = 0;
};

}  // namespace orrery::data
