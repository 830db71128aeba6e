// Fiber stacks: mapped once, guarded by one unmapped page below, kept in a pool and never given back.
//
// A guard page makes an overflow a fault at a known place; explain_fault() lets a crash handler say so. Not thread-safe:
// one pool belongs to one scheduler's thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace orrery {

struct Stack {
    char* base = nullptr;  // lowest usable byte; the guard page lies below
    size_t size_bytes = 0;
    char* top() const { return base + size_bytes; }
};

class StackPool {
 public:
    static constexpr size_t kStackBytes = 256 * 1024;  // RocksDB calls need most of it; only touched pages cost memory

    StackPool() = default;
    ~StackPool();
    StackPool(const StackPool&) = delete;
    StackPool& operator=(const StackPool&) = delete;

    /// Aborts through CHECK when the system refuses memory or mappings.
    Stack take();
    void give_back(Stack stack);
    /// True when `address` lies in the guard page of a stack of this pool.
    bool is_guard(const void* address) const;

 private:
    std::vector<Stack> free_;
    std::vector<Stack> all_;
};

}  // namespace orrery
