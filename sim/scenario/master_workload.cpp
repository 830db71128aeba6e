#include "sim/scenario/master_workload.h"

#include <algorithm>
#include <cmath>

namespace orrery::sim {

namespace {
constexpr uint64_t kCacheNumbers = 500;  // of their MasterClients
Bytes name_of(uint64_t volume) { return "v" + std::to_string(volume); }
}  // namespace

using check::Operation;
using check::OpKind;
using check::OpStatus;
using check::Output;
using wire::MasterQuery;
using wire::MasterTopic;
using wire::MasterView;

struct MasterWorkload::Client {
    Client(Env& the_env, size_t the_index, std::vector<Address> masters, RandomStream the_draws)
        : env(the_env), index(the_index), draws(the_draws), to(the_env, the_index + 1, std::move(masters), {.attempt = Duration::seconds(1)}) {}
    Env& env;
    size_t index;
    RandomStream draws;
    client::MasterClient to;
    uint64_t number = 0;  // in the history
    uint64_t left = 0;    // operations
};

MasterWorkload::MasterWorkload(World& world, Cluster& cluster, const Scenario& plan, check::History& history, check::Liveness& liveness,
                               check::ListChecker& lists, const MasterModel& model, check::Violations& violations)
    : world_(world),
      cluster_(cluster),
      spec_(plan.workload),
      history_(history),
      liveness_(liveness),
      lists_(lists),
      model_(model),
      violations_(violations),
      readers_read_(plan.phases.chaos) {}

MasterWorkload::~MasterWorkload() = default;

void MasterWorkload::start() {
    const uint64_t writers = spec_.clients - spec_.readers;
    readers_until_ = world_.now() + readers_read_;
    std::vector<Address> masters;
    for (size_t i = 0; i < cluster_.founders(); ++i) masters.push_back(cluster_.client_address(i));
    for (size_t i = 0; i < spec_.clients; ++i) {
        const bool reads = i >= writers;
        Env& env = *cluster_.client(i).env();
        auto client = std::make_unique<Client>(env, i, reads ? std::vector{masters[i % masters.size()]} : masters, world_.timeline().stream("workload", i));
        client->number = next_client_++;
        if (!reads) client->left = spec_.ops / writers + (i < spec_.ops % writers ? 1 : 0);
        Client& mine = *clients_.emplace_back(std::move(client));
        ++running_;
        env.spawn("workload.client", [this, &mine, reads, caches = reads && (i - writers) % 2 == 1, masters](Fiber& fiber) {
            if (caches) {
                run_cache(fiber, mine, masters);
            } else if (reads) {
                run_reader(fiber, mine);
            } else {
                run_client(fiber, mine);
            }
            (void)mine.to.close(fiber);
            --running_;
        });
    }
}

void MasterWorkload::run_client(Fiber& fiber, Client& client) {
    const WorkloadMix& mix = spec_.mix;
    for (; client.left > 0 && !stopping_ && !fiber.cancelled(); --client.left) {
        const double pause = client.draws.exponential(std::max(1.0, static_cast<double>(spec_.think.ns)));
        if (!client.env.sleep(fiber, Duration::nanos(std::llround(std::min(pause, 60e9)))).ok() || stopping_) return;
        const double what = client.draws.unit() * (mix.get + mix.cas + mix.del + mix.set);
        const Bytes name = draw_name(client);
        if (what < mix.get) {
            read(fiber, client, name);
        } else if (what < mix.get + mix.cas) {
            create(fiber, client, name);
        } else if (what < mix.get + mix.cas + mix.del) {
            remove(fiber, client, name);
        } else {
            (void)ask(fiber, client, draw_query(client), client.env.now() + spec_.op_timeout);
        }
    }
}

void MasterWorkload::run_reader(Fiber& fiber, Client& client) {
    while (!stopping_ && !fiber.cancelled() && world_.now() < readers_until_) {
        const double pause = client.draws.exponential(std::max(1.0, static_cast<double>(spec_.reader_think.ns)));
        if (!client.env.sleep(fiber, Duration::nanos(std::llround(std::min(pause, 60e9)))).ok()) return;
        if (!stopping_) (void)ask(fiber, client, draw_query(client), client.env.now() + Duration::seconds(1));
    }
}

/// What it is shown of a volume must never go back, whichever master it came from: for the checker each copy is a master of its own.
void MasterWorkload::run_cache(Fiber& fiber, Client& client, const std::vector<Address>& masters) {
    client::PartitionCache::Options options;
    options.volumes_max = 4;
    options.hold = Duration::seconds(1);
    options.background_age = Duration::seconds(8);
    options.client.attempt = Duration::millis(700);
    options.client.stream_credit_bytes = 4 << 10;  // a list takes a while
    client::PartitionCache cache(client.env, kCacheNumbers + client.index, masters, options);
    while (!stopping_ && !fiber.cancelled() && world_.now() < readers_until_) {
        const double pause = client.draws.exponential(std::max(1.0, static_cast<double>(spec_.reader_think.ns)));
        if (!client.env.sleep(fiber, Duration::nanos(std::llround(std::min(pause, 60e9)))).ok()) return;
        const uint64_t age = client.draws.below(3);
        const Duration max_age = Duration::millis(age == 0 ? 0 : age == 1 ? 200 : 8000);
        const LogIndex at_least = client.draws.chance(0.3) ? highest_seen_ : LogIndex();
        const check::Stamp asked = stamp();
        const uint64_t volume = client.draws.below(spec_.keys), corrupt = cache.counters().corrupt;
        Result<client::PartitionCache::View> view = cache.get(fiber, name_of(volume), max_age, at_least, client.env.now() + Duration::seconds(1));
        if (cache.counters().corrupt > corrupt)  // what was sent arrives: nothing in between makes one of a sound one
            violations_.add("list.contradicts-itself", "copy", stamp(), "client " + std::to_string(client.index + 1) + " was sent a list of " + Bytes(name_of(volume)) + " that cannot be true");
        if (!view.ok()) continue;
        const std::string what = "client " + std::to_string(client.index + 1) + " looked at its copy of " + view->list->volume.name;
        if (view->applied > model_.applied()) {
            violations_.add("list.unapplied", "copy", stamp(), what + ", of version " + std::to_string(view->applied.value) + ", which nobody has applied");
            continue;
        }
        ++compared_;
        highest_seen_ = std::max(highest_seen_, view->applied);
        if (const std::optional<std::string> wrong = model_.compare(*view->list, view->applied)) violations_.add("list.wrong-content", "copy", stamp(), what + ": " + *wrong);
        lists_.answered({.what = what, .master = NodeId((kCacheNumbers + client.index) * 1000 + volume), .version = view->applied, .age = view->age, .max_age = max_age, .at_least = at_least,
                         .asked = asked, .answered = stamp()});
    }
    (void)cache.close(fiber);
}

Bytes MasterWorkload::draw_name(Client& client) { return name_of(client.draws.below(spec_.keys)); }

MasterQuery MasterWorkload::draw_query(Client& client) {
    static constexpr MasterTopic kTopics[] = {MasterTopic::Counters, MasterTopic::Nodes, MasterTopic::Volumes, MasterTopic::Volume, MasterTopic::Partitions,
                                              MasterTopic::Partitions, MasterTopic::Tasks};
    MasterQuery query;
    query.topic = kTopics[client.draws.below(std::size(kTopics))];
    if (query.topic == MasterTopic::Volume || query.topic == MasterTopic::Partitions) query.name = draw_name(client);
    query.limit = client.draws.chance(0.2) ? 2 : 1000;
    const uint64_t age = client.draws.below(4);
    query.max_age = Duration::millis(age == 0 ? 0 : age == 1 ? 200 : age == 2 ? 2000 : 8000);
    if (client.draws.chance(0.3)) query.at_least = highest_seen_;
    return query;
}

// ---- questions

Result<MasterView> MasterWorkload::ask(Fiber& fiber, Client& client, const MasterQuery& query, Instant deadline) {
    const check::Stamp asked = stamp();
    Result<MasterView> view = client.to.query(fiber, query, deadline);
    if (!view.ok()) return view;
    check::ListAnswer answer{.what = {}, .master = view->server, .version = view->version, .age = view->age, .max_age = query.max_age,
                             .at_least = query.at_least, .asked = asked, .answered = stamp()};
    answer.what = "client " + std::to_string(client.index + 1) + " asked m" + std::to_string(view->server.value);
    highest_seen_ = std::max(highest_seen_, view->version);
    if (view->version > model_.applied()) {
        violations_.add("list.unapplied", "answer", answer.answered, answer.what + " and was shown version " + std::to_string(view->version.value) + ", which nobody has applied");
        return view;
    }
    ++compared_;
    if (const std::optional<std::string> wrong = model_.compare(query, *view)) violations_.add("list.wrong-content", "answer", answer.answered, answer.what + ": " + *wrong);
    lists_.answered(answer);
    return view;
}

void MasterWorkload::read(Fiber& fiber, Client& client, const Bytes& name) {
    Result<check::History::OpId> id = history_.invoke(Operation::get(client.number, name), world_.now());
    if (!id.ok()) return;
    liveness_.started(*id, "read of client " + std::to_string(client.index + 1), stamp());
    Result<MasterView> view = ask(fiber, client, {.topic = MasterTopic::Volume, .name = name}, client.env.now() + spec_.op_timeout);
    if (view.ok()) return end(*id, OpStatus::Ok, Output::of_value(std::to_string(view->volumes.front().capacity_bytes)));
    if (view.failed_with(Code::NotFound)) return end(*id, OpStatus::Ok, Output::of_value({}));
    end(*id, OpStatus::Fail, {});
}

// ---- changes

void MasterWorkload::create(Fiber& fiber, Client& client, const Bytes& name) {
    wire::MasterCommand command;
    command.kind = wire::MasterCommandKind::CreateVolume;
    command.name = name;
    command.replicas = client.draws.chance(0.7) ? 3 : 1 + static_cast<uint32_t>(client.draws.below(5));
    command.partitions = 1 + static_cast<uint32_t>(client.draws.below(client.draws.chance(0.1) ? 80 : 8));
    command.capacity_bytes = next_value_++;
    const Operation operation = Operation::cas(client.number, name, {}, std::to_string(command.capacity_bytes));
    change(fiber, client, operation, std::move(command), Code::Exists);
}

void MasterWorkload::remove(Fiber& fiber, Client& client, const Bytes& name) {
    wire::MasterCommand command;
    command.kind = wire::MasterCommandKind::DeleteVolume;
    command.name = name;
    change(fiber, client, Operation::del(client.number, name), std::move(command), Code::NotFound);
}

void MasterWorkload::change(Fiber& fiber, Client& client, Operation operation, wire::MasterCommand command, Code no) {
    names_.insert(operation.key);
    Result<check::History::OpId> id = history_.invoke(operation, world_.now());
    if (!id.ok()) return;
    liveness_.started(*id, std::string(wire::master_command_name(command.kind)) + " of client " + std::to_string(client.index + 1), stamp());
    Result<wire::MasterAnswer> answer = client.to.change(fiber, std::move(command), client.env.now() + spec_.op_timeout);
    if (answer.ok()) {
        highest_seen_ = std::max(highest_seen_, answer->index);
        if (answer->code == 0) return end(*id, OpStatus::Ok, Output::of_number(1));
        if (answer->code == static_cast<uint8_t>(no)) return end(*id, OpStatus::Ok, Output::of_number(0));
        return end(*id, OpStatus::Fail, {});  // refused by what the masters know of their nodes
    }
    const bool open = answer.failed_with(Code::Unknown) || answer.failed_with(Code::Cancelled);
    end(*id, open ? OpStatus::Unknown : OpStatus::Fail, {});
    if (open) client.number = next_client_++;
}

void MasterWorkload::end(check::History::OpId id, OpStatus status, Output output) {
    history_.complete(id, status, std::move(output), world_.now());
    liveness_.finished(id, stamp());
    ok_ += status == OpStatus::Ok;
    unknown_ += status == OpStatus::Unknown;
    world_.timeline().note(Step::Client, id, static_cast<uint64_t>(status));
}

Result<void> MasterWorkload::read_all(Fiber& fiber, Env& env, Instant deadline, const std::function<void(const Bytes&, const check::Value&)>& on_value) {
    std::vector<Address> masters;
    for (size_t i = 0; i < cluster_.size(); ++i) masters.push_back(cluster_.client_address(i));
    Client client(env, clients_.size(), masters, world_.timeline().stream("workload", clients_.size()));
    client.number = next_client_++;
    for (const Bytes& name : names_) {
        for (;;) {
            if (env.now() >= deadline) return Error(Code::Timeout, "volume '" + name + "' could not be read after heal");
            TRY(check::History::OpId id, history_.invoke(Operation::get(client.number, name), world_.now()));
            Result<MasterView> view = ask(fiber, client, {.topic = MasterTopic::Volume, .name = name}, env.now() + spec_.op_timeout);
            if (view.failed_with(Code::Cancelled)) return Code::Cancelled;
            if (!view.ok() && !view.failed_with(Code::NotFound)) {
                history_.complete(id, OpStatus::Fail, {}, world_.now());
                TRY(env.sleep(fiber, Duration::millis(20)));
                continue;
            }
            const check::Value value = view.ok() ? check::Value(std::to_string(view->volumes.front().capacity_bytes)) : check::Value();
            history_.complete(id, OpStatus::Ok, Output::of_value(value), world_.now());
            on_value(name, value);
            break;
        }
    }
    return client.to.close(fiber);
}

}  // namespace orrery::sim
