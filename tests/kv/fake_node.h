// A LocalNode without a node: what is asked of it comes from fields, what is done to it is noted.
#pragma once

#include <map>
#include <vector>

#include "kv/local_commands.h"

namespace orrery::test {

struct FakeNode : kv::LocalNode {
    Instant at;
    kv::ServerFacts the_facts;
    kv::ClientFace the_face = kv::ClientFace::Standalone;
    kv::ClusterView view;
    kv::Settings the_settings;
    kv::Acl the_acl;
    std::map<uint64_t, kv::ClientState*> clients;
    std::vector<uint64_t> killed;
    std::vector<std::pair<uint64_t, kv::Unblock>> unblocked;
    int resets = 0;
    int auth_failures = 0;
    int settings_changes = 0;

    Instant now() const override { return at; }
    WallTime wall() const override { return the_facts.wall; }
    kv::ServerFacts facts() const override { return the_facts; }
    kv::ClientFace face() const override { return the_face; }
    kv::ClusterView cluster() const override { return view; }
    const kv::Settings& settings() const override { return the_settings; }
    const kv::Acl& acl() const override { return the_acl; }
    void change_settings(const kv::Settings& settings) override {
        the_settings = settings;
        ++settings_changes;
    }
    void change_acl(kv::Acl acl) override { the_acl = std::move(acl); }
    void auth_failed() override { ++auth_failures; }
    void reset_statistics() override { ++resets; }
    void for_each_client(FunctionRef<void(const kv::ClientState&)> visit) override {
        for (const auto& [id, client] : clients) visit(*client);
    }
    void kill_client(uint64_t id) override {
        killed.push_back(id);
        clients.erase(id);
    }
    bool unblock_client(uint64_t id, kv::Unblock how) override {
        const auto found = clients.find(id);
        if (found == clients.end() || !found->second->blocked) return false;
        found->second->blocked = false;
        unblocked.emplace_back(id, how);
        return true;
    }
};

/// One connection to it.
struct FakeClient {
    explicit FakeClient(FakeNode& the_node, uint64_t id = 7) : node(the_node) {
        state.id = id;
        node.clients[id] = &state;
    }
    kv::Reply run(const kv::Argv& argv) {
        const auto views = resp::views_of(argv);
        const kv::CheckedRequest request = kv::check_request(views);
        return request.command == nullptr ? request.refusal : kv::execute_local(views, state, node);
    }
    FakeNode& node;
    kv::ClientState state;
};

}  // namespace orrery::test
