// A conformance body runs as the main fiber of a process on either arm; run_case() is defined once per arm.
//
// Bodies use doctest's CHECK, never REQUIRE: an exception must not leave a fiber. An error that a body returns fails the
// test with its text.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/env/process.h"
#include <doctest/doctest.h>

namespace orrery::conformance {

struct Place {
    std::string host;         // where this process listens
    double extra_yield_p = 0;  // what this round was run with
};

using Body = std::function<Result<void>(Fiber&, Env&, const Place&)>;

/// Runs the body on a fresh host, several times: with few and with many extra yields (and seeds, where there are any).
void run_case(const Body& body);

/// Waits until `count` reaches `wanted`; fails with Timeout after 20 s.
Result<void> await_count(Fiber& fiber, Env& env, const size_t& count, size_t wanted);

class BodyProcess final : public Process {
 public:
    BodyProcess(Env& env, const Body& body, Place place) : env_(env), body_(body), place_(std::move(place)) {}
    Result<void> run(Fiber& fiber) override { return body_(fiber, env_, place_); }
    void request_stop() override {}

 private:
    Env& env_;
    const Body& body_;
    Place place_;
};

inline Result<void> await_count(Fiber& fiber, Env& env, const size_t& count, size_t wanted) {
    const Instant until = env.now() + Duration::seconds(20);
    while (count < wanted) {
        if (env.now() >= until)
            return Error(Code::Timeout, std::to_string(count) + " of " + std::to_string(wanted) + " came");
        TRY(env.sleep(fiber, Duration::millis(1)));
    }
    return {};
}

}  // namespace orrery::conformance
