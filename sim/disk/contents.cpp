#include "sim/disk/contents.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace orrery::sim {

namespace {

bool all_zeros(const char* bytes, size_t count) {
    // The first byte is zero and every byte equals the one before it.
    return bytes[0] == 0 && std::memcmp(bytes, bytes + 1, count - 1) == 0;
}

}  // namespace

struct Contents::Split {
    uint64_t head_bytes = 0;  // at the offset
    size_t first_page = 0;    // whole pages
    size_t pages = 0;
    uint64_t tail_offset = 0;
    uint64_t tail_bytes = 0;
};

char* PageRef::writable() {
    if (is_data() && page_->references == 1) return page_->bytes;
    PageRef copy = fresh();
    if (is_data()) {
        std::memcpy(copy.page_->bytes, page_->bytes, kPageBytes);
    } else {
        std::memset(copy.page_->bytes, 0, kPageBytes);
    }
    *this = std::move(copy);
    return page_->bytes;
}

Contents::Split Contents::split(uint64_t offset, uint64_t length) {
    const uint64_t end = offset + length;
    const uint64_t first = (offset + kPageBytes - 1) / kPageBytes;
    const uint64_t last = end / kPageBytes;
    if (first > last) return {.head_bytes = length, .first_page = first, .tail_offset = end};
    return {.head_bytes = first * kPageBytes - offset,
            .first_page = first,
            .pages = last - first,
            .tail_offset = last * kPageBytes,
            .tail_bytes = end - last * kPageBytes};
}

void Contents::read(uint64_t offset, std::span<char> into) const {
    size_t done = 0;
    while (done < into.size()) {
        const size_t page = (offset + done) / kPageBytes;
        const size_t inside = (offset + done) % kPageBytes;
        const size_t count = std::min<size_t>(into.size() - done, kPageBytes - inside);
        if (page < pages_.size() && pages_[page].is_data()) {
            std::memcpy(into.data() + done, pages_[page].bytes() + inside, count);
        } else {
            std::memset(into.data() + done, 0, count);
        }
        done += count;
    }
}

uint64_t Contents::holes_in(uint64_t offset, uint64_t length) const {
    if (length == 0) return 0;
    uint64_t holes = 0;
    for (size_t page = offset / kPageBytes; page <= (offset + length - 1) / kPageBytes; ++page)
        holes += page >= pages_.size() || pages_[page].is_hole();
    return holes;
}

bool Contents::is_allocated(uint64_t offset) const {
    const size_t page = offset / kPageBytes;
    return page < pages_.size() && !pages_[page].is_hole();
}

// Exchanges; `ref` becomes what was there.
void Contents::put(size_t page, PageRef& ref) {
    if (page >= pages_.size()) {
        if (ref.is_hole()) return;
        pages_.resize(page + 1);
    }
    allocated_pages_ += !ref.is_hole();
    allocated_pages_ -= !pages_[page].is_hole();
    std::swap(pages_[page], ref);
}

void Contents::swap_edge(uint64_t offset, uint64_t length, char* other) {
    if (length == 0) return;
    const size_t page = offset / kPageBytes;
    if (page >= pages_.size() || pages_[page].is_hole()) {
        PageRef zeros = PageRef::zeros();
        put(page, zeros);
    }
    char* here = pages_[page].writable() + offset % kPageBytes;
    std::swap_ranges(here, here + length, other);
}

RangeImage Contents::replace(uint64_t offset, ByteView bytes) {
    RangeImage image;
    if (bytes.empty()) return image;
    const Split parts = split(offset, bytes.size());
    const bool was_empty_there =
        offset >= size_;  // then the edges held zeros, and need not be kept
    image.edges.reserve(was_empty_there ? 0 : parts.head_bytes + parts.tail_bytes);
    auto edge = [&](uint64_t at, uint64_t length, const char* from) {
        if (length == 0) return;
        const size_t page = at / kPageBytes;
        if (page >= pages_.size() || pages_[page].is_hole()) {
            PageRef zeros = PageRef::zeros();
            put(page, zeros);
        }
        char* here = pages_[page].writable() + at % kPageBytes;
        if (!was_empty_there) image.edges.append(here, length);
        std::memcpy(here, from, length);
    };
    edge(offset, parts.head_bytes, bytes.data());
    image.pages.resize(parts.pages);
    const char* from = bytes.data() + parts.head_bytes;
    for (size_t i = 0; i < parts.pages; ++i, from += kPageBytes) {
        if (all_zeros(from, kPageBytes)) {
            image.pages[i] = PageRef::zeros();
        } else {
            image.pages[i] = PageRef::fresh();
            std::memcpy(image.pages[i].writable(), from, kPageBytes);
        }
        put(parts.first_page + i, image.pages[i]);
    }
    edge(parts.tail_offset, parts.tail_bytes, from);
    size_ = std::max(size_, offset + bytes.size());
    return image;
}

void Contents::swap(uint64_t offset, uint64_t length, RangeImage& image, uint64_t new_size) {
    if (length > 0) {
        const Split parts = split(offset, length);
        image.edges.resize(parts.head_bytes + parts.tail_bytes, '\0');
        swap_edge(offset, parts.head_bytes, image.edges.data());
        // Only as many pages as either side has: cutting a huge hole costs nothing.
        const size_t here = pages_.size() > parts.first_page ? pages_.size() - parts.first_page : 0;
        image.pages.resize(std::min(parts.pages, std::max(image.pages.size(), here)));
        for (size_t i = 0; i < image.pages.size(); ++i) put(parts.first_page + i, image.pages[i]);
        swap_edge(parts.tail_offset, parts.tail_bytes, image.edges.data() + parts.head_bytes);
    }
    resize(new_size);
}

RangeImage Contents::resize(uint64_t new_size) {
    RangeImage image;
    if (new_size < size_) {
        const size_t keep = (new_size + kPageBytes - 1) / kPageBytes;
        const size_t inside = new_size % kPageBytes;
        if (inside != 0) {
            const uint64_t cut = std::min<uint64_t>(size_ - new_size, kPageBytes - inside);
            if (keep <= pages_.size() && pages_[keep - 1].is_data()) {
                char* here = pages_[keep - 1].writable() + inside;
                image.edges.assign(here, cut);
                std::memset(here, 0, cut);
            } else {
                image.edges.assign(cut, '\0');
            }
        }
        const Split parts = split(new_size, size_ - new_size);
        if (pages_.size() > keep) {
            image.pages.assign(
                std::make_move_iterator(pages_.begin() + static_cast<ptrdiff_t>(keep)),
                std::make_move_iterator(pages_.end()));
            for (const PageRef& page : image.pages) allocated_pages_ -= !page.is_hole();
            pages_.resize(keep);
        }
        // The last page cut is an edge of the range when the old size is inside it.
        if (image.pages.size() > parts.pages) {
            CHECK(image.pages.size() == parts.pages + 1, image.pages.size(), parts.pages);
            const PageRef& last = image.pages.back();
            if (last.is_data()) {
                image.edges.append(last.bytes(), parts.tail_bytes);
            } else {
                image.edges.append(parts.tail_bytes, '\0');
            }
            image.pages.pop_back();
        }
        image.edges.resize(parts.head_bytes + parts.tail_bytes, '\0');
    }
    size_ = new_size;
    return image;
}

void read_image(const RangeImage& image, uint64_t image_offset, uint64_t image_length,
                uint64_t offset, std::span<char> out) {
    const uint64_t end = image_offset + image_length;
    uint64_t first = (image_offset + kPageBytes - 1) / kPageBytes * kPageBytes;
    uint64_t last = end / kPageBytes * kPageBytes;
    if (first > last) first = last = end;
    const uint64_t head_bytes = first - image_offset;
    size_t done = 0;
    while (done < out.size()) {
        const uint64_t at = offset + done;
        size_t count = 0;
        if (at >= first && at < last) {
            const size_t page = (at - first) / kPageBytes;
            const size_t inside = at % kPageBytes;
            count = std::min<size_t>(out.size() - done, kPageBytes - inside);
            if (page < image.pages.size() && image.pages[page].is_data()) {
                std::memcpy(out.data() + done, image.pages[page].bytes() + inside, count);
            } else {
                std::memset(out.data() + done, 0, count);
            }
        } else {
            const uint64_t until = at < first ? first : end;
            const uint64_t position = at < first ? at - image_offset : head_bytes + (at - last);
            count = std::min<size_t>(out.size() - done, until - at);
            CHECK(count > 0, offset, image_offset, image_length);
            for (size_t i = 0; i < count; ++i)
                out[done + i] =
                    position + i < image.edges.size() ? image.edges[position + i] : '\0';
        }
        done += count;
    }
}

}  // namespace orrery::sim
