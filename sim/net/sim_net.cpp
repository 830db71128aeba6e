#include "sim/net/sim_net.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "sim/net/sim_conn.h"

namespace orrery::sim {

SimNet::~SimNet() = default;

EndpointId SimNet::add_endpoint(std::string name) {
    endpoints_.push_back(std::make_unique<Endpoint>());
    endpoints_.back()->name = std::move(name);
    return EndpointId{static_cast<uint32_t>(endpoints_.size() - 1)};
}

std::unique_ptr<Net> SimNet::open_endpoint(EndpointId id) {
    Endpoint& endpoint = *endpoints_[id.value];
    CHECK(!endpoint.up, endpoint.name);
    endpoint.up = true;
    ++endpoint.life;
    return std::make_unique<SimEndpointNet>(*this, id, endpoint.life);
}

void SimNet::kill_endpoint(EndpointId id) {
    Endpoint& endpoint = *endpoints_[id.value];
    endpoint.up = false;
    for (auto& stream : streams_) {
        for (int side = 0; side < 2; ++side) {
            if (!stream->in_use || stream->host[side] != id || stream->reset[side]) continue;
            send_reset(*stream, side);
            reset_side(*stream, side, false);
        }
    }
}

void SimNet::power_off_endpoint(EndpointId id) {
    Endpoint& endpoint = *endpoints_[id.value];
    endpoint.up = false;
    endpoint.powered = false;
    for (auto& stream : streams_) {
        for (int side = 0; side < 2; ++side) {
            if (!stream->in_use || stream->host[side] != id) continue;
            stream->lost[side] = true;
            reset_side(*stream, side, false);
        }
    }
}

void SimNet::power_on_endpoint(EndpointId id) { endpoints_[id.value]->powered = true; }

// ---- links ------------------------------------------------------------------------------------------------------

SimNet::Link& SimNet::link(EndpointId from, EndpointId to) {
    auto [at, inserted] = links_.try_emplace({from.value, to.value});
    if (inserted)
        at->second.draws = std::make_unique<RandomStream>(
            timeline_.stream("net.link", static_cast<uint64_t>(from.value) << 32 | to.value));
    return at->second;
}

Duration SimNet::draw_latency(Link& link) {
    if (options_.slow_p > 0 && link.draws->chance(options_.slow_p)) return link.draws->between(options_.slow_min, options_.slow_max);
    // The exponential part is cut at ten means, so that one draw never looks like a partition.
    const double mean = static_cast<double>(options_.latency_mean.ns);
    const double extra = mean > 0 ? std::min(link.draws->exponential(mean), 10 * mean) : 0;
    return options_.latency_min + Duration{static_cast<int64_t>(extra)};
}

void SimNet::cut(EndpointId from, EndpointId to) {
    ++link(from, to).cuts;
    timeline_.note(Step::NetControl, static_cast<uint64_t>(from.value) << 32 | to.value, 1);
}

void SimNet::heal(EndpointId from, EndpointId to) {
    Link& healed = link(from, to);
    if (healed.cuts == 0) return;
    timeline_.note(Step::NetControl, static_cast<uint64_t>(from.value) << 32 | to.value, 2);
    if (--healed.cuts > 0) return;
    // Retransmission resumes: what was held arrives in its old order.
    Instant at = timeline_.now() + draw_latency(healed);
    for (uint64_t argument : std::exchange(healed.held, {})) timeline_.schedule(at, *this, argument);
}

void SimNet::heal_all() {
    for (auto& [ends, cut_link] : links_)
        while (cut_link.cuts > 0) heal(EndpointId{ends.first}, EndpointId{ends.second});
}

bool SimNet::is_cut(EndpointId from, EndpointId to) const {
    auto at = links_.find({from.value, to.value});
    return at != links_.end() && at->second.cuts > 0;
}

size_t SimNet::reset_between(EndpointId a, EndpointId b, bool keep_in_flight) {
    size_t struck = 0;
    for (auto& stream : streams_) {
        if (!stream->in_use || stream->connecting) continue;
        const bool matches = (stream->host[0] == a && stream->host[1] == b) || (stream->host[0] == b && stream->host[1] == a);
        if (!matches || stream->half_open || (stream->reset[0] && stream->reset[1])) continue;
        ++struck;
        ++counters_.resets;
        timeline_.note(Step::NetControl, stream->slot, 3 + keep_in_flight);
        for (int side = 0; side < 2; ++side) {
            if (keep_in_flight && !stream->pipe[1 - side].flight.empty()) {
                send_reset(*stream, 1 - side);  // behind what is on its way to this side
            } else {
                reset_side(*stream, side, keep_in_flight);
            }
        }
    }
    return struck;
}

size_t SimNet::half_open_between(EndpointId a, EndpointId b) {
    size_t struck = 0;
    for (auto& stream : streams_) {
        if (!stream->in_use || stream->connecting || stream->half_open) continue;
        const bool matches = (stream->host[0] == a && stream->host[1] == b) || (stream->host[0] == b && stream->host[1] == a);
        if (!matches || stream->reset[0] || stream->reset[1]) continue;
        ++struck;
        ++counters_.half_opened;
        timeline_.note(Step::NetControl, stream->slot, 10);
        stream->half_open = true;
    }
    return struck;
}

void SimNet::lend_address(std::string_view name, std::optional<EndpointId> instead) {
    if (instead) {
        lent_.insert_or_assign(std::string(name), *instead);
    } else if (lent_.erase(std::string(name)) == 0) {
        return;
    }
    timeline_.note(Step::NetControl, hash_bytes(name, 0), 11);
}

// ---- streams ----------------------------------------------------------------------------------------------------

uint64_t SimNet::pack(What what, int side, const Stream& stream) {
    return static_cast<uint64_t>(what) << 56 | static_cast<uint64_t>(side) << 55 |
           static_cast<uint64_t>(stream.generation & 0xffffff) << 24 | stream.slot;
}

SimNet::Stream* SimNet::find(uint64_t argument) {
    Stream& stream = *streams_[argument & 0xffffff];
    if (!stream.in_use || (stream.generation & 0xffffff) != ((argument >> 24) & 0xffffff)) return nullptr;
    return &stream;
}

SimNet::Stream& SimNet::new_stream() {
    if (free_streams_.empty()) {
        CHECK(streams_.size() < 0xffffff);
        streams_.push_back(std::make_unique<Stream>());
        streams_.back()->slot = static_cast<uint32_t>(streams_.size() - 1);
        free_streams_.push_back(streams_.back()->slot);
    }
    Stream& stream = *streams_[free_streams_.back()];
    free_streams_.pop_back();
    ++stream.generation;
    stream.in_use = true;
    stream.connecting = stream.connect_done = stream.half_open = false;
    stream.connect_outcome = {};
    for (int side = 0; side < 2; ++side) {
        stream.pipe[side] = Pipe();
        stream.attached[side] = stream.reset[side] = stream.lost[side] = false;
    }
    return stream;
}

void SimNet::release_if_done(Stream& stream) {
    if (!stream.in_use || stream.attached[0] || stream.attached[1]) return;
    // Nobody can read it any more; events under way find another generation.
    stream.in_use = false;
    free_streams_.push_back(stream.slot);
}

void SimNet::schedule_on_link(Stream& stream, int from_side, What what, uint64_t bytes) {
    Link& path = *stream.link[from_side];
    Pipe& pipe = stream.pipe[from_side];
    Instant start = timeline_.now();
    if (options_.rate_bytes_per_second > 0 && bytes > 0) {
        start = std::max(start, path.busy_until);
        path.busy_until = start + Duration{static_cast<int64_t>(bytes * 1'000'000'000 / options_.rate_bytes_per_second)};
        start = path.busy_until;
    }
    const Instant arrives = std::max(start + draw_latency(path), pipe.last_arrival);
    pipe.last_arrival = arrives;
    timeline_.schedule(arrives, *this, pack(what, from_side, stream));
}

void SimNet::send_segment(Stream& stream, int side, Segment segment) {
    Pipe& pipe = stream.pipe[side];
    const uint64_t bytes = segment.bytes.size();
    if (options_.corrupt_p > 0 && bytes > 0 && std::max(stream.host[0], stream.host[1]).value < options_.corrupt_among_first) {
        RandomStream& draws = *stream.link[side]->draws;
        if (draws.chance(options_.corrupt_p)) {
            const uint64_t bit = draws.below(bytes * 8);
            segment.bytes[bit / 8] = static_cast<char>(segment.bytes[bit / 8] ^ (1 << (bit % 8)));
            ++counters_.corrupted;
        }
    }
    timeline_.note(Step::NetSend, static_cast<uint64_t>(stream.slot) << 1 | side, hash_bytes(segment.bytes, bytes));
    pipe.flight.push_back(std::move(segment));
    pipe.flight_bytes += bytes;
    schedule_on_link(stream, side, What::Deliver, bytes);
}

void SimNet::send_reset(Stream& stream, int from_side) { schedule_on_link(stream, from_side, What::Reset, 0); }

void SimNet::reset_side(Stream& stream, int side, bool keep_received) {
    stream.reset[side] = true;
    Pipe& incoming = stream.pipe[1 - side];
    if (!keep_received) {
        incoming.received.clear();
        incoming.read_offset = 0;
    }
    stream.readable[side].wake_all();
    stream.writable[side].wake_all();
    if (side == 0 && stream.connecting && !stream.connect_done) {
        stream.connect_done = true;
        stream.connect_outcome = Error(Code::Unreachable, "connection reset while connecting");
    }
}

void SimNet::detach(Stream& stream, int side) {
    // Closing sends end of stream, or a reset when unread bytes are thrown away; a side that saw a reset sends nothing.
    stream.attached[side] = false;
    Pipe& incoming = stream.pipe[1 - side];
    if (!stream.reset[side] && stream.attached[1 - side]) {
        if (incoming.received.size() > incoming.read_offset) {
            send_reset(stream, side);
        } else if (!stream.pipe[side].fin_sent) {
            stream.pipe[side].fin_sent = true;
            send_segment(stream, side, {Bytes(), true});
        }
    }
    stream.readable[side].wake_all();
    stream.writable[side].wake_all();
    release_if_done(stream);
}

void SimNet::fire(uint64_t argument) {
    Stream* stream = find(argument);
    if (stream == nullptr) return;
    const auto what = static_cast<What>(argument >> 56);
    const int side = (argument >> 55) & 1;  // the sending side
    const int to = 1 - side;
    Link& path = *stream->link[side];
    if (path.cuts > 0) {
        ++counters_.held_by_cut;
        path.held.push_back(argument);
        return;
    }
    if (stream->half_open && what != What::GiveUp) {
        // The bytes stay unacknowledged, so the window fills; the sender's kernel gives up in the end.
        ++counters_.vanished;
        timeline_.note(Step::NetControl, stream->slot, 12);
        if (what == What::Deliver) stream->pipe[side].flight.pop_front();
        if (what == What::Deliver && !stream->pipe[side].giving_up) {
            stream->pipe[side].giving_up = true;
            timeline_.schedule(timeline_.now() + options_.silence_max, *this, pack(What::GiveUp, side, *stream));
        }
        return;
    }
    switch (what) {
        case What::GiveUp:
            timeline_.note(Step::NetControl, stream->slot, 13);
            if (!stream->reset[side]) reset_side(*stream, side, true);
            return;
        case What::Deliver: deliver(*stream, side); return;
        case What::Syn: arrive_syn(*stream); return;
        case What::SynAnswer:
            if (stream->connect_done) return;
            stream->connecting = false;
            stream->connect_done = true;
            stream->readable[0].wake_all();
            return;
        case What::Reset:
            if (!endpoints_[stream->host[to].value]->powered) return;
            timeline_.note(Step::NetControl, stream->slot, 9);
            reset_side(*stream, to, true);
            return;
    }
}

void SimNet::deliver(Stream& stream, int side) {
    Pipe& pipe = stream.pipe[side];
    const int to = 1 - side;
    CHECK(!pipe.flight.empty());
    const Endpoint& receiver = *endpoints_[stream.host[to].value];
    if (!receiver.powered) {
        // Retransmitted: looked at again when the machine may be back.
        timeline_.schedule(timeline_.now() + Duration::seconds(1), *this, pack(What::Deliver, side, stream));
        return;
    }
    Segment segment = std::move(pipe.flight.front());
    pipe.flight.pop_front();
    pipe.flight_bytes -= segment.bytes.size();
    timeline_.note(Step::NetDeliver, static_cast<uint64_t>(stream.slot) << 1 | side, segment.bytes.size());
    if (stream.reset[to] || !stream.attached[to] || stream.lost[to]) {
        // Nobody is there for it any more: the kernel answers with a reset.
        if (!stream.reset[side]) send_reset(stream, to);
        return;
    }
    ++counters_.segments_delivered;
    counters_.bytes_delivered += segment.bytes.size();
    if (segment.fin) pipe.fin_received = true;
    if (pipe.received.empty()) {
        pipe.received = std::move(segment.bytes);
    } else {
        pipe.received += segment.bytes;
    }
    stream.readable[to].wake_all();
}

void SimNet::arrive_syn(Stream& stream) {
    Endpoint& target = *endpoints_[stream.host[1].value];
    Link& path = *stream.link[0];
    if (!target.powered) return;  // hangs
    if (options_.connect_hang_p > 0 && path.draws->chance(options_.connect_hang_p)) return;
    const auto listener = target.listeners.find(stream.port);
    const bool refused = !target.up || listener == target.listeners.end() ||
                         (options_.connect_refuse_p > 0 && path.draws->chance(options_.connect_refuse_p));
    timeline_.note(Step::NetControl, stream.slot, 5 + refused);
    if (refused) {
        ++counters_.refused;
        stream.connect_outcome = Error(Code::Unreachable, "connection to " + target.name + ":" + std::to_string(stream.port) + " refused");
        schedule_on_link(stream, 1, What::SynAnswer, 0);
        return;
    }
    SimListener& at = *listener->second;
    if (at.backlog_.size() >= SimListener::kBacklog) return;  // dropped, hangs: as a full backlog does
    at.backlog_.push_back(std::make_unique<SimConn>(*this, stream, 1));
    at.arrivals_.wake_one();
    schedule_on_link(stream, 1, What::SynAnswer, 0);
}

}  // namespace orrery::sim
