// Contents: the bytes of one file as 4 KiB pages that undo records and images share without
// copying.
//
// A page is a hole (reads as zeros, takes no space), allocated zeros (takes space, no memory: a log
// segment written with zeros in advance costs 8 bytes a page) or data. Invariant: bytes past size()
// are zero in every page. Not thread-safe and not atomic: one simulated world is one thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "runtime/base/bytes.h"

namespace orrery::sim {

inline constexpr uint64_t kPageBytes = 4096;
inline constexpr uint64_t kSectorBytes = 512;

class PageRef {
 public:
    PageRef() = default;
    PageRef(const PageRef& other) : page_(other.page_) {
        if (is_data()) ++page_->references;
    }
    PageRef(PageRef&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
    PageRef& operator=(PageRef other) noexcept {
        std::swap(page_, other.page_);
        return *this;
    }
    ~PageRef() {
        if (is_data() && --page_->references == 0) delete page_;
    }
    /// Allocated, all zeros.
    static PageRef zeros() { return PageRef(zeros_mark()); }
    /// A page of its own; the bytes are not initialised.
    static PageRef fresh() { return PageRef(new Page); }

    bool is_hole() const { return page_ == nullptr; }
    bool is_data() const { return page_ != nullptr && page_ != zeros_mark(); }
    /// Requires: is_data().
    const char* bytes() const { return page_->bytes; }
    /// Bytes that may be changed: zeros and holes become data, a shared page is copied first.
    char* writable();

 private:
    struct Page {
        uint64_t references = 1;
        char bytes[kPageBytes];
    };
    explicit PageRef(Page* page) : page_(page) {}
    static Page* zeros_mark() { return reinterpret_cast<Page*>(uintptr_t{1}); }
    Page* page_ = nullptr;
};

/// What a byte range held: whole pages by reference, the partial first and last page by value.
/// Pages that are missing at the end are holes; missing edges are zeros.
struct RangeImage {
    std::vector<PageRef> pages;
    Bytes edges;
};

class Contents {
 public:
    uint64_t size() const { return size_; }
    uint64_t allocated_bytes() const { return allocated_pages_ * kPageBytes; }

    /// Zeros where there is nothing. Requires: nothing; may reach past the end.
    void read(uint64_t offset, std::span<char> into) const;
    /// How many pages of the range would have to be allocated to write it.
    uint64_t holes_in(uint64_t offset, uint64_t length) const;
    bool is_allocated(uint64_t offset) const;

    /// Writes, extends, and returns what the range held before.
    RangeImage replace(uint64_t offset, ByteView bytes);
    void write(uint64_t offset, ByteView bytes) { replace(offset, bytes); }
    /// Exchanges the bytes of the range with the image, and sets the size. Its own inverse (with
    /// the sizes exchanged).
    void swap(uint64_t offset, uint64_t length, RangeImage& image, uint64_t new_size);
    /// Cuts (returning what [new_size, size()) held) or extends by a hole.
    RangeImage resize(uint64_t new_size);

 private:
    struct Split;  // a range as partial head, whole pages, partial tail
    static Split split(uint64_t offset, uint64_t length);
    void swap_edge(uint64_t offset, uint64_t length, char* other);
    void put(size_t page, PageRef& ref);

    uint64_t size_ = 0;
    uint64_t allocated_pages_ = 0;
    std::vector<PageRef> pages_;
};

/// The bytes [offset, offset + out.size()) of an image of the range that begins at `image_offset`
/// and has `image_length` bytes. Requires: inside the range.
void read_image(const RangeImage& image, uint64_t image_offset, uint64_t image_length,
                uint64_t offset, std::span<char> out);

}  // namespace orrery::sim
