// Tracer: where structured events go. A daemon's log, the simulator's trace and its hash.
#pragma once

#include <initializer_list>
#include <string_view>

#include "runtime/base/result.h"
#include "runtime/base/trace_event.h"
#include "runtime/fiber/fiber.h"

namespace orrery {

class Tracer {
 public:
    virtual ~Tracer() = default;
    /// Whether anybody wants events of this severity; ask before costly fields are made.
    virtual bool wants(Severity severity) const = 0;
    /// `name` is a literal `noun.verb`. Field views need live only until the return.
    virtual void event(Severity severity, std::string_view name, std::initializer_list<TraceField> fields) = 0;
    /// A named point of a protocol: a Debug event, a target for a scenario's triggers, and a place where the simulator
    /// may hold this fiber. Yields. Errors: Cancelled.
    virtual Result<void> checkpoint(Fiber& fiber, std::string_view name, std::initializer_list<TraceField> fields) = 0;
    /// Counts that a rare situation was reached; campaigns require some of them.
    virtual void probe(std::string_view name) = 0;

    void info(std::string_view name, std::initializer_list<TraceField> fields = {}) { event(Severity::Info, name, fields); }
    void debug(std::string_view name, std::initializer_list<TraceField> fields = {}) {
        if (wants(Severity::Debug)) event(Severity::Debug, name, fields);
    }
    void warning(std::string_view name, std::initializer_list<TraceField> fields = {}) { event(Severity::Warning, name, fields); }
    void error(std::string_view name, std::initializer_list<TraceField> fields = {}) { event(Severity::Error, name, fields); }
};

}  // namespace orrery
