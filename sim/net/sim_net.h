// SimNet: the network of a world. Byte streams between simulated hosts, with latency, splitting, rates, directed cuts,
// clogs, resets, refused and hanging connects, and flipped bits.
//
// A stream never loses, repeats or reorders bytes: a cut link holds them back, as retransmission does, until it heals
// or the stream is reset. Every latency, split and flip is an addressed draw of its directed link, so that a fault taken
// out elsewhere changes nothing here.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/env/net.h"
#include "sim/clock/timeline.h"

namespace orrery::sim {

/// A host as the network knows it: a small number, in order of creation.
struct EndpointId {
    uint32_t value = 0;
    auto operator<=>(const EndpointId&) const = default;
};

/// What the network does without being told; ranges as in faults.md.
struct NetOptions {
    Duration latency_min = Duration::micros(100);
    Duration latency_mean = Duration::micros(400);  // of the exponential part, on top of the minimum
    double slow_p = 0;                              // share of segments that take slow_min to slow_max instead
    Duration slow_min = Duration::millis(100);
    Duration slow_max = Duration::seconds(2);
    double split_p = 0;              // share of reads and writes cut to 1..split_max bytes
    uint32_t split_max_bytes = 1460;
    uint64_t rate_bytes_per_second = 0;  // per direction of a link; 0 = unlimited
    double connect_refuse_p = 0;
    double connect_hang_p = 0;
    double corrupt_p = 0;            // per segment: one bit flips
    uint32_t corrupt_among_first = UINT32_MAX;  // only between endpoints that were added before this one
    double reset_p = 0;              // per write: the stream is reset, in-flight bytes kept or lost
    Duration silence_max = Duration::seconds(20);  // sent bytes unanswered for so long end the stream (TCP_USER_TIMEOUT)
    uint64_t window_bytes = 256 * 1024;  // unread and in-flight bytes of one direction
};

class SimNet : public EventTarget {
 public:
    SimNet(Timeline& timeline, NetOptions options) : timeline_(timeline), options_(options) {}
    ~SimNet() override;

    EndpointId add_endpoint(std::string name);
    /// The Net of one life of a host. Dies before the SimNet; all Conns of it die first.
    std::unique_ptr<Net> open_endpoint(EndpointId endpoint);
    /// The process is gone and its kernel lives: peers see resets, connects are refused.
    void kill_endpoint(EndpointId endpoint);
    /// The machine is gone: peers see nothing, connects hang, until power_on_endpoint().
    void power_off_endpoint(EndpointId endpoint);
    void power_on_endpoint(EndpointId endpoint);

    /// Nothing passes from `from` to `to` until healed. Cuts nest: each cut needs its heal.
    void cut(EndpointId from, EndpointId to);
    void heal(EndpointId from, EndpointId to);
    void heal_all();
    bool is_cut(EndpointId from, EndpointId to) const;
    /// Resets every stream between the two. `keep_in_flight`: what was sent still arrives before the reset.
    /// Returns how many streams it struck.
    size_t reset_between(EndpointId a, EndpointId b, bool keep_in_flight);
    /// Every stream between the two is forgotten on the way, and nobody is told: what is sent vanishes, what was under way
    /// is lost, until somebody gives up waiting or `silence_max` has passed since the first that vanished.
    /// Returns how many streams it struck.
    size_t half_open_between(EndpointId a, EndpointId b);
    /// Connects to `name` reach `instead`, as when its address was given to another machine; nullopt ends it.
    void lend_address(std::string_view name, std::optional<EndpointId> instead);
    NetOptions& options() { return options_; }

    size_t endpoints() const { return endpoints_.size(); }
    const std::string& name(EndpointId endpoint) const { return endpoints_[endpoint.value]->name; }

    struct Counters {
        uint64_t segments_delivered = 0;
        uint64_t bytes_delivered = 0;
        uint64_t connects = 0;
        uint64_t refused = 0;
        uint64_t resets = 0;
        uint64_t half_opened = 0;
        uint64_t vanished = 0;  // segments of half-open streams
        uint64_t misdirected = 0;  // connects to a lent address
        uint64_t corrupted = 0;
        uint64_t held_by_cut = 0;
    };
    const Counters& counters() const { return counters_; }

    void fire(uint64_t argument) override;

 private:
    friend class SimConn;
    friend class SimListener;
    friend class SimEndpointNet;

    struct Segment {
        Bytes bytes;
        bool fin = false;
    };
    /// One direction of a stream; `side` 0 is the connecting end. Bytes flow from side s to side 1 - s.
    struct Pipe {
        std::deque<Segment> flight;
        uint64_t flight_bytes = 0;
        Bytes received;
        size_t read_offset = 0;
        bool fin_sent = false;
        bool fin_received = false;
        bool giving_up = false;  // half open, and something vanished
        Instant last_arrival{};
    };
    struct Link {
        std::unique_ptr<RandomStream> draws;
        uint32_t cuts = 0;
        Instant busy_until{};          // for the rate
        std::vector<uint64_t> held;    // events that a cut holds back, in order
    };
    struct Stream {
        uint32_t slot = 0;
        uint32_t generation = 0;
        bool in_use = false;
        EndpointId host[2];
        Link* link[2] = {nullptr, nullptr};  // link[s]: from host[s] to the other
        uint16_t port = 0;         // the listener's
        uint16_t ephemeral = 0;    // the connecting end's, for messages to people
        Pipe pipe[2];              // pipe[s]: written by side s
        bool attached[2] = {false, false};  // a SimConn exists for that side
        bool reset[2] = {false, false};     // that side has seen a reset
        bool lost[2] = {false, false};      // that side's machine lost power: it answers nothing
        bool half_open = false;             // see half_open_between()
        bool connecting = false;
        Result<void> connect_outcome;
        bool connect_done = false;
        WaitQueue readable[2];     // woken for side s when it can read
        WaitQueue writable[2];
    };
    struct Endpoint {
        std::string name;
        bool up = false;
        bool powered = true;
        uint64_t life = 0;
        std::map<uint16_t, class SimListener*> listeners;
        uint16_t next_ephemeral = 32768;
    };

    enum class What : uint8_t { Deliver = 1, Syn = 2, SynAnswer = 3, Reset = 4, GiveUp = 5 };
    static uint64_t pack(What what, int side, const Stream& stream);
    Stream* find(uint64_t argument);
    Stream& new_stream();
    void release_if_done(Stream& stream);
    Link& link(EndpointId from, EndpointId to);
    Duration draw_latency(Link& link);
    void send_segment(Stream& stream, int side, Segment segment);
    void schedule_on_link(Stream& stream, int from_side, What what, uint64_t bytes);
    void deliver(Stream& stream, int side);
    void arrive_syn(Stream& stream);
    void reset_side(Stream& stream, int side, bool keep_received);
    void send_reset(Stream& stream, int from_side);
    void detach(Stream& stream, int side);

    Timeline& timeline_;
    NetOptions options_;
    std::vector<std::unique_ptr<Endpoint>> endpoints_;
    std::map<std::string, EndpointId, std::less<>> lent_;  // addresses
    std::map<std::pair<uint32_t, uint32_t>, Link> links_;
    std::vector<std::unique_ptr<Stream>> streams_;
    std::vector<uint32_t> free_streams_;
    Counters counters_;
};

}  // namespace orrery::sim
