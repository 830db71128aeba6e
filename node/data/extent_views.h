// How the machine's parts see the records: as the Store has them, or with what the entries of a batch did so far on top.
#pragma once

#include "node/data/extent_machine.h"

namespace orrery::data {

class ExtentMachine::Stored : public ExtentView {
 public:
    Stored(Fiber& fiber, const store::Store& store, const raft::StateSpace& space) : fiber_(fiber), store_(store), prefix_(raft::space_begin(space)) {}
    Result<std::optional<Bytes>> get(ByteView key) override { return store_.get(fiber_, Bytes(prefix_) += key); }

 private:
    Fiber& fiber_;
    const store::Store& store_;
    Bytes prefix_;
};

class ExtentMachine::BatchView : public ExtentView {
 public:
    BatchView(const ExtentChanges& changed, ExtentView& stored) : changed_(changed), stored_(stored) {}
    Result<std::optional<Bytes>> get(ByteView key) override {
        if (auto found = changed_.find(Bytes(key)); found != changed_.end()) return found->second;
        return stored_.get(key);
    }

 private:
    const ExtentChanges& changed_;
    ExtentView& stored_;
};

}  // namespace orrery::data
