#include "runtime/fiber/stack_pool.h"

#include <sys/mman.h>

#include <cerrno>

#include "runtime/base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace orrery {

namespace {
constexpr size_t kPage = 4096;

/// The last frame of a fiber never returns, so its red zones stay marked; and munmap does not take marks away, so they wait in a
/// new mapping at the same place too.
void unmark([[maybe_unused]] const Stack& stack) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stack.base, stack.size_bytes);
#endif
}
}  // namespace

StackPool::~StackPool() {
    for (const Stack& stack : all_) munmap(stack.base - kPage, stack.size_bytes + kPage);
}

Stack StackPool::take() {
    if (!free_.empty()) {
        Stack stack = free_.back();
        free_.pop_back();
        unmark(stack);
        return stack;
    }
    void* mapped = mmap(nullptr, kStackBytes + kPage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    CHECK(mapped != MAP_FAILED, errno, all_.size());
    CHECK(mprotect(mapped, kPage, PROT_NONE) == 0, errno, all_.size());
    Stack stack{static_cast<char*>(mapped) + kPage, kStackBytes};
    all_.push_back(stack);
    unmark(stack);
    return stack;
}

void StackPool::give_back(Stack stack) { free_.push_back(stack); }

bool StackPool::is_guard(const void* address) const {
    const char* at = static_cast<const char*>(address);
    for (const Stack& stack : all_)
        if (at >= stack.base - kPage && at < stack.base) return true;
    return false;
}

}  // namespace orrery
