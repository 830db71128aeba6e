// A sorted vector with the face of a map: ordered iteration (iteration order is behaviour), good for up to a few
// hundred keys. Larger or hot: std::map.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

namespace orrery {

template <typename Key, typename Value>
class FlatMap {
 public:
    using Item = std::pair<Key, Value>;
    using iterator = typename std::vector<Item>::iterator;
    using const_iterator = typename std::vector<Item>::const_iterator;

    iterator begin() { return items_.begin(); }
    iterator end() { return items_.end(); }
    const_iterator begin() const { return items_.begin(); }
    const_iterator end() const { return items_.end(); }
    bool empty() const { return items_.empty(); }
    size_t size() const { return items_.size(); }
    void clear() { items_.clear(); }

    iterator find(const Key& key) {
        auto at = lower(key);
        return at != items_.end() && at->first == key ? at : items_.end();
    }
    const_iterator find(const Key& key) const { return const_cast<FlatMap*>(this)->find(key); }
    bool contains(const Key& key) const { return find(key) != end(); }
    /// Null when there is none. The pointer lives until the next insert or erase.
    Value* get(const Key& key) {
        auto at = find(key);
        return at == end() ? nullptr : &at->second;
    }
    const Value* get(const Key& key) const { return const_cast<FlatMap*>(this)->get(key); }
    Value& operator[](const Key& key) {
        auto at = lower(key);
        if (at == items_.end() || at->first != key) at = items_.insert(at, Item{key, Value{}});
        return at->second;
    }
    bool erase(const Key& key) {
        auto at = find(key);
        if (at == end()) return false;
        items_.erase(at);
        return true;
    }
    iterator erase(iterator at) { return items_.erase(at); }
    bool operator==(const FlatMap&) const = default;

 private:
    iterator lower(const Key& key) {
        return std::lower_bound(items_.begin(), items_.end(), key,
                                [](const Item& item, const Key& k) { return item.first < k; });
    }
    std::vector<Item> items_;
};

}  // namespace orrery
