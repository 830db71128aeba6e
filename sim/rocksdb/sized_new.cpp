// operator new that remembers how much was asked for, and a malloc_usable_size() that answers with that.
//
// RocksDB charges memtables and caches by malloc_usable_size(), and what that says depends on the layout of the heap: an
// environment variable, one string more before the start, and a memtable is full one write earlier. Here every block made
// by `new` carries its size in front; the wrapped function answers with it. Sanitizers keep the size themselves, exactly.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

extern "C" {
size_t __real_malloc_usable_size(void* pointer);
size_t __wrap_malloc_usable_size(void* pointer);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

size_t __wrap_malloc_usable_size(void* pointer) { return __real_malloc_usable_size(pointer); }

#else

namespace {

struct Front {
    uint64_t size;
    uint64_t mark;  // kMark ^ address of the block: malloc's own word at that place is a small number
};
static_assert(sizeof(Front) == 16);  // keeps the alignment that malloc gives
constexpr uint64_t kMark = 0x6f72726572795f6eull;

uint64_t mark_of(const void* block) { return kMark ^ reinterpret_cast<uintptr_t>(block); }

void* sized_new(size_t size) noexcept {
    auto* front = static_cast<Front*>(std::malloc(size + sizeof(Front)));
    if (front == nullptr) return nullptr;
    void* block = front + 1;
    *front = {size, mark_of(block)};
    return block;
}

void sized_delete(void* block) noexcept {
    if (block == nullptr) return;
    Front* front = static_cast<Front*>(block) - 1;
    front->mark = 0;
    std::free(front);
}

void* sized_new_or_throw(size_t size) {
    void* block = sized_new(size);
    if (block == nullptr) throw std::bad_alloc();
    return block;
}

}  // namespace

size_t __wrap_malloc_usable_size(void* pointer) {
    if (pointer == nullptr) return 0;
    const Front* front = static_cast<const Front*>(pointer) - 1;
    return front->mark == mark_of(pointer) ? front->size : __real_malloc_usable_size(pointer);
}

void* operator new(size_t size) { return sized_new_or_throw(size); }
void* operator new[](size_t size) { return sized_new_or_throw(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return sized_new(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return sized_new(size); }
void operator delete(void* block) noexcept { sized_delete(block); }
void operator delete[](void* block) noexcept { sized_delete(block); }
void operator delete(void* block, size_t) noexcept { sized_delete(block); }
void operator delete[](void* block, size_t) noexcept { sized_delete(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { sized_delete(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { sized_delete(block); }

#endif
