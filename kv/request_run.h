// RequestRun: requests of one connection that are executed together, without a copy of their words.
#pragma once

#include <deque>
#include <span>
#include <vector>

#include "kv/command_table.h"

namespace orrery::kv {

class RequestRun {
 public:
    /// `stays`: the words' bytes outlive this run (they lie in the connection's input); else they are copied.
    void add(ArgvView argv, const CommandInfo& command, bool stays) {
        places_.push_back({words_.size(), &command});
        for (ByteView word : argv) {
            words_.push_back(stays ? word : ByteView(copies_.emplace_back(word)));
            bytes_ += word.size();
        }
    }
    size_t size() const { return places_.size(); }
    bool empty() const { return places_.empty(); }
    /// Of all words.
    uint64_t bytes() const { return bytes_; }
    /// In order; valid until the next add() or clear().
    std::span<const Request> requests() {
        requests_.clear();
        const ArgvView all = words_;
        for (size_t i = 0; i < places_.size(); ++i) {
            const size_t end = i + 1 < places_.size() ? places_[i + 1].first_word : words_.size();
            requests_.push_back({all.subspan(places_[i].first_word, end - places_[i].first_word), places_[i].command});
        }
        return requests_;
    }
    void clear() {
        words_.clear();
        places_.clear();
        requests_.clear();
        copies_.clear();
        bytes_ = 0;
    }

 private:
    struct Place {
        size_t first_word;
        const CommandInfo* command;
    };
    std::vector<ByteView> words_;  // of all requests
    std::vector<Place> places_;
    std::vector<Request> requests_;
    std::deque<Bytes> copies_;  // never moves what it holds
    uint64_t bytes_ = 0;
};

}  // namespace orrery::kv
