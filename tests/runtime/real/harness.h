// A directory and a real Env for one test.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "runtime/real/config.h"
#include "runtime/real/real_env.h"
#include <doctest/doctest.h>

namespace orrery::real::test {

class TemporaryDirectory {
 public:
    TemporaryDirectory() { CHECK(mkdtemp(path_) != nullptr); }
    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
    std::string path() const { return path_; }

 private:
    char path_[32] = "/tmp/orrery_real_XXXXXX";
};

using Body = std::function<Result<void>(Fiber&, Env&)>;

class BodyProcess final : public Process {
 public:
    BodyProcess(Env& env, Body body) : env_(env), body_(std::move(body)) {}
    Result<void> run(Fiber& fiber) override { return body_(fiber, env_); }
    void request_stop() override {}

 private:
    Env& env_;
    Body body_;
};

/// Runs the body as the main fiber on `directory`; its error fails the test.
inline void run_real(const std::string& directory, const Body& body, LogTracer::Options log = {.least = Severity::Error}) {
    auto env = RealEnv::open({.data_directory = directory, .log = std::move(log)});
    if (!env.ok()) {
        FAIL_CHECK(env.error().text());
        return;
    }
    const Result<void> ran = (*env)->run([&](Env& inner) { return std::make_unique<BodyProcess>(inner, body); });
    if (!ran.ok()) FAIL_CHECK(ran.error().text());
}

}  // namespace orrery::real::test
