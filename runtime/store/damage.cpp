#include "runtime/store/damage.h"

#include "runtime/env/file_tree.h"

namespace orrery::store {

namespace {

constexpr uint64_t kReasonBytesMax = 4096;

std::string mark_of(const Options& options) { return options.path + "/DAMAGED"; }

std::string parent_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

}  // namespace

Result<std::optional<std::string>> damage_mark(Fiber& fiber, Env& env, const Options& options) {
    return env.blocking(fiber, [&](Blocking& blocking) -> Result<std::optional<std::string>> {
        Result<std::unique_ptr<File>> file = env.disk.open(blocking, mark_of(options), OpenMode::Read);
        if (file.failed_with(Code::NotFound)) return std::optional<std::string>();
        if (!file.ok()) return file.error();
        // The name alone is the mark: a crash may have taken the reason, and damage may have come to it too.
        std::string reason(kReasonBytesMax, '\0');
        Result<size_t> got = (*file)->pread(blocking, 0, reason);
        reason.resize(got.ok() ? *got : 0);
        return std::optional(reason.empty() ? std::string("marked by an earlier life, the reason is lost") : std::move(reason));
    });
}

Result<void> mark_damaged(Fiber& fiber, Env& env, const Options& options, const std::string& reason) {
    return env.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
        TRY(std::unique_ptr<File> file, env.disk.open(blocking, mark_of(options), OpenMode::CreateTruncate));
        TRY(file->pwrite(blocking, 0, ByteView(reason).substr(0, kReasonBytesMax)));
        TRY(file->sync(blocking));
        return env.disk.sync_dir(blocking, options.path);
    });
}

Result<std::string> set_aside(Fiber& fiber, Env& env, const Options& options) {
    const std::string aside = options.path + ".aside";
    TRY(env.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
        Result<Disk::Entry> there = env.disk.stat(blocking, options.path);
        if (there.failed_with(Code::NotFound)) return {};  // a crash came behind the rename
        if (!there.ok()) return there.error();
        TRY(remove_tree(blocking, env.disk, aside));
        TRY(env.disk.sync_dir(blocking, parent_of(options.path)));
        TRY(env.disk.rename(blocking, options.path, aside));
        return env.disk.sync_dir(blocking, parent_of(options.path));
    }));
    return aside;
}

}  // namespace orrery::store
