#include "sim/check/order_graph.h"

#include <algorithm>
#include <deque>
#include <map>

namespace orrery::check {

namespace {
constexpr uint32_t kNone = UINT32_MAX;
constexpr size_t kStartsTried = 64;  // of a knot, for its shortest cycle
}  // namespace

void OrderGraph::sort_edges() {
    first_.assign(nodes_ + 1, 0);
    for (const OrderEdge& edge : edges_) ++first_[edge.from + 1];
    for (uint32_t i = 0; i < nodes_; ++i) first_[i + 1] += first_[i];
    std::vector<OrderEdge> sorted(edges_.size());
    std::vector<uint32_t> next(first_.begin(), first_.end() - 1);
    for (const OrderEdge& edge : edges_) sorted[next[edge.from]++] = edge;
    edges_ = std::move(sorted);
}

// Tarjan, with a stack of its own. The knot of each node, kNone where it is in none of two or more nodes.
std::vector<uint32_t> OrderGraph::find_knots(uint64_t& total) const {
    std::vector<uint32_t> index(nodes_, 0), low(nodes_, 0), knot(nodes_, kNone), open, next_edge(first_.begin(), first_.end() - 1);
    std::vector<bool> on_stack(nodes_, false);
    std::vector<uint32_t> path;
    uint32_t numbered = 0, knots = 0;
    for (uint32_t root = 0; root < nodes_; ++root) {
        if (index[root] != 0) continue;
        path.push_back(root);
        while (!path.empty()) {
            const uint32_t node = path.back();
            if (index[node] == 0) {
                index[node] = low[node] = ++numbered;
                open.push_back(node);
                on_stack[node] = true;
            }
            if (next_edge[node] < first_[node + 1]) {
                const uint32_t to = edges_[next_edge[node]++].to;
                if (index[to] == 0) {
                    path.push_back(to);
                } else if (on_stack[to]) {
                    low[node] = std::min(low[node], index[to]);
                }
                continue;
            }
            path.pop_back();
            if (!path.empty()) low[path.back()] = std::min(low[path.back()], low[node]);
            if (low[node] != index[node]) continue;
            const bool tied = open.back() != node;
            for (uint32_t member = kNone; member != node;) {
                member = open.back();
                open.pop_back();
                on_stack[member] = false;
                if (tied) knot[member] = knots;
            }
            knots += tied ? 1 : 0;
        }
    }
    total = knots;
    return knot;
}

// From `start` back to it inside its knot; a step to a counted node costs one, to a joint nothing.
std::vector<OrderEdge> OrderGraph::shortest_from(uint32_t start, const std::vector<uint32_t>& knots, uint64_t& steps, uint64_t max_steps) const {
    struct Reached {
        uint32_t cost = UINT32_MAX;
        uint32_t edge = kNone;
        bool done = false;
    };
    std::map<uint32_t, Reached> reached;
    std::deque<std::pair<uint32_t, uint32_t>> ahead{{start, 0}};  // node, cost
    auto take = [&](uint32_t node, uint32_t cost) {
        for (uint32_t e = first_[node]; e < first_[node + 1]; ++e) {
            const uint32_t to = edges_[e].to;
            if (knots[to] != knots[start]) continue;
            ++steps;
            const uint32_t next = cost + (to < counted_ ? 1 : 0);
            Reached& there = reached[to];
            if (next >= there.cost) continue;
            there.cost = next;
            there.edge = e;
            if (to == start) continue;
            if (to < counted_) ahead.emplace_back(to, next);
            else ahead.emplace_front(to, next);
        }
    };
    while (!ahead.empty() && steps <= max_steps) {
        auto [node, cost] = ahead.front();
        ahead.pop_front();
        if (const auto back = reached.find(start); back != reached.end() && back->second.cost <= cost) break;
        if (node != start || !reached.contains(start)) {
            if (node != start) {
                Reached& here = reached[node];
                if (here.done) continue;
                here.done = true;
            }
            take(node, cost);
        }
    }
    std::vector<OrderEdge> cycle;
    if (!reached.contains(start)) return cycle;
    for (uint32_t node = start; cycle.empty() || node != start;) {
        const OrderEdge& edge = edges_[reached.at(node).edge];
        cycle.push_back(edge);
        node = edge.from;
    }
    std::reverse(cycle.begin(), cycle.end());
    return cycle;
}

std::vector<std::vector<OrderEdge>> OrderGraph::cycles(size_t limit, uint64_t max_steps, uint64_t& total) {
    sort_edges();
    const std::vector<uint32_t> knots = find_knots(total);
    std::map<uint32_t, std::vector<uint32_t>> starts;  // by the lowest counted node
    std::map<uint32_t, uint32_t> lowest;
    for (uint32_t node = 0; node < counted_; ++node) {
        if (knots[node] == kNone) continue;
        const uint32_t key = lowest.try_emplace(knots[node], node).first->second;
        if (starts[key].size() < kStartsTried) starts[key].push_back(node);
    }
    std::vector<std::vector<OrderEdge>> out;
    for (const auto& [first, nodes] : starts) {
        if (out.size() == limit) break;
        std::vector<OrderEdge> best;
        auto counted = [&](const std::vector<OrderEdge>& cycle) {
            return std::count_if(cycle.begin(), cycle.end(), [&](const OrderEdge& edge) { return edge.to < counted_; });
        };
        // At least one start is followed to its end, whatever it costs: a knot has a cycle.
        uint64_t steps = 0;
        for (uint32_t start : nodes) {
            std::vector<OrderEdge> cycle = shortest_from(start, knots, steps, best.empty() ? UINT64_MAX : max_steps);
            if (!cycle.empty() && (best.empty() || counted(cycle) < counted(best))) best = std::move(cycle);
            if (steps > max_steps || counted(best) <= 2) break;
        }
        out.push_back(std::move(best));
    }
    return out;
}

}  // namespace orrery::check
