// What must come before what, as a graph, and its shortest cycles. Knows nothing of operations: nodes below `counted` are
// what a cycle is measured by, the others only join edges (so that "everybody before this instant" costs one node).
//
// Memory and time are linear in nodes and edges, but for the choice of a short cycle, which is bounded by counted steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace orrery::check {

struct OrderEdge {
    uint32_t from = 0, to = 0;
    uint32_t why = 0;  // the caller's
};

class OrderGraph {
 public:
    explicit OrderGraph(uint32_t counted) : counted_(counted), nodes_(counted) {}

    /// A node that only joins.
    uint32_t add_joint() { return nodes_++; }
    void add(uint32_t from, uint32_t to, uint32_t why) {
        if (from != to) edges_.push_back({from, to, why});
    }
    uint64_t edges() const { return edges_.size(); }

    /// Edges of one cycle of each knot (strongly connected part), first those of the lowest node: shortest by counted nodes as
    /// far as `max_steps` allow. At most `limit` cycles; `total` is the number of knots.
    std::vector<std::vector<OrderEdge>> cycles(size_t limit, uint64_t max_steps, uint64_t& total);

 private:
    void sort_edges();
    std::vector<uint32_t> find_knots(uint64_t& total) const;
    std::vector<OrderEdge> shortest_from(uint32_t start, const std::vector<uint32_t>& knots, uint64_t& steps, uint64_t max_steps) const;

    uint32_t counted_, nodes_;
    std::vector<OrderEdge> edges_;  // by `from`, once sorted
    std::vector<uint32_t> first_;   // edges of node i: [first_[i], first_[i + 1])
};

}  // namespace orrery::check
